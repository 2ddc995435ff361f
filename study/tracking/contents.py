"""What the tracking store shows of a trial: parameters, metrics, tags, files, all from its folder."""

import csv
import io
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from study.engine.trial_folder import evaluation_folder, read_result
from study.planning.design import PlannedTrial
from study.tracking.pictures import draw_learning_curves, panel
from study.tracking.rows import Row
from usplit_core.checkpoint import read_model
from usplit_core.checkpointing import BEST, LAST
from usplit_core.config import RunConfig, TilingConfig
from usplit_core.data.mixing import statistics_to_json
from usplit_core.settings import flatten, format_setting
from usplit_core.training import EpochReport, read_history

_SECONDS = "cost/train_seconds"


def trial_parameters(run: RunConfig) -> dict[str, str]:
    """Return the settings of a trial by dotted name; its own tiling is left to its evaluations."""
    return {name: format_setting(value) for name, value in flatten(run).items() if not name.startswith("tiling.")}


def evaluation_parameters(trial: PlannedTrial, tiling: TilingConfig) -> dict[str, str]:
    """Return all settings of a trial and those of a tiling, so that evaluations compare without their trials."""
    own = {f"tiling.{name}": format_setting(value) for name, value in tiling.model_dump().items()}
    return {**trial_parameters(trial.run), **own}


def cell_parameters(trial: PlannedTrial, tiling: TilingConfig) -> dict[str, str]:
    """Return what the replicates of a cell have in common."""
    every = evaluation_parameters(trial, tiling)
    return {name: text for name, text in every.items() if not name.endswith("seed")}


def epochs_after(folder: Path, epoch: int) -> list[Row]:
    """Return the metrics of every complete epoch after `epoch`, with the time when it ended.

    The last epoch ended when the training file was written, the others by their training seconds
    before that: the same however late they are read.
    """
    last = folder / LAST
    if not last.exists():
        return []
    ended = last.stat().st_mtime
    history = read_history(folder)
    total = history[-1].metrics.get(_SECONDS, 0.0) if history else 0.0
    return [
        Row(report.epoch, _ms(ended - total + report.metrics.get(_SECONDS, 0.0)), report.metrics)
        for report in history
        if report.epoch > epoch
    ]


def final_cost(folder: Path, known: Mapping[str, float], epoch: int) -> list[Row]:
    """Return what a training cost in the end and the run does not show yet, at its last epoch."""
    result = read_result(folder)
    if result is None:
        return []
    cost = {name: value for name, value in result["cost"].items() if known.get(name) != value}
    return [Row(epoch, _ms((folder / "result.json").stat().st_mtime), cost)] if cost else []


def started_ms(folder: Path) -> int:
    """Return when the first epoch began; now where none has ended."""
    rows = epochs_after(folder, 0)
    return rows[0].time_ms - round(1000 * rows[0].metrics.get(_SECONDS, 0.0)) if rows else _ms(time.time())


def ended_ms(folder: Path) -> int | None:
    """Return when the training was over; None where nothing tells."""
    last = folder / LAST
    return _ms(last.stat().st_mtime) if last.exists() else None


def record_tags(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that a trial's record gives."""
    versions = record["versions"]
    tags = {
        "usplit.host": record["host"],
        "usplit.device": record["device"],
        "usplit.attempt": record["attempt"],
        "usplit.data": record["data"]["content"],
        "usplit.version": versions["usplit"],
        "usplit.torch": versions["torch"],
    }
    return tags | ({"usplit.python": versions["python"]} if "python" in versions else {})


def write_trial_files(folder: Path, record: Mapping[str, Any], target: Path) -> None:
    """Fill `target` with the files that a trial's run shows."""
    shutil.copyfile(folder / "record.json", target / "record.json")
    _write_json(target / "config.json", record["run"])
    _write_json(target / "split.json", record["data"]["split"])
    model = folder / BEST
    if model.exists():
        _write_json(target / "statistics.json", statistics_to_json(read_model(model).statistics))
    if (folder / "error.txt").exists():
        shutil.copyfile(folder / "error.txt", target / "error.txt")
    history: Sequence[EpochReport] = read_history(folder)
    if history:
        draw_learning_curves([report.metrics for report in history], target / "learning_curves.png")


def write_evaluation_files(folder: Path, key: str, frames: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Fill `target` with the files that an evaluation's run shows: scores of frames twice, for programs and people."""
    _write_json(target / "frames.json", frames)
    (target / "frames.csv").write_text(_table(frames), encoding="utf-8")
    sample = evaluation_folder(folder, key) / "sample.npz"
    if sample.exists():
        shutil.copyfile(sample, target / "sample.npz")
        with np.load(sample, allow_pickle=False) as arrays:
            panel(arrays["input"], arrays["target"], arrays["prediction"], target / "panel.png")


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
