"""Cells: what the replicates of one configuration have in common, in numbers."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from study.engine.trial_folder import read_evaluation
from study.planning.design import PlannedTrial
from usplit_core.config import TilingConfig


class CellScores(NamedTuple):
    """The scores of one cell under one tiling, a row a replicate; `trial` is one of them."""

    trial: PlannedTrial
    tiling: TilingConfig
    key: str
    rows: list[dict[str, float]]


def cell_scores(trials: Iterable[PlannedTrial], folder_of: Callable[[str], Path]) -> list[CellScores]:
    """Return the scores of every cell and tiling that has any."""
    found: dict[tuple[str, str], CellScores] = {}
    for trial in trials:
        for key, tiling in zip(trial.evaluation_keys, trial.tilings, strict=True):
            scores = read_evaluation(folder_of(trial.fingerprint), key)
            if scores is not None:
                cell = found.setdefault((trial.cell, key), CellScores(trial, tiling, key, []))
                cell.rows.append(scores["metrics"])
    return list(found.values())


def cell_summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return mean, standard error and n of each score; n of a score counts the rows in which it is defined."""
    summary = {"n": float(len(rows))}
    for name in dict.fromkeys(name for row in rows for name in row):
        # A score that is not defined, such as the MS-SSIM of small frames, is NaN.
        values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
        if not values:
            continue
        summary[f"{name}.mean"] = statistics.fmean(values)
        summary[f"{name}.n"] = float(len(values))
        if len(values) > 1:
            summary[f"{name}.standard_error"] = statistics.stdev(values) / len(values) ** 0.5
    return summary
