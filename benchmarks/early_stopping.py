"""What early stopping saves: one grid of short trainings, once in full and once under ASHA.

    python -m benchmarks.early_stopping

24 trainings of a small network, 3 filter counts x 8 learning rates, each to the end; then the same grid, in a store of
its own, with ``stopping=ASHA()``. Printed are the steps of both and the rank that the winner under ASHA has in the full
grid, by the validation PSNR of the best epoch.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NamedTuple

import study
from benchmarks.trainings import say
from study.engine.result import StudyResult, TrialRow
from study.spec import ASHA, Grid, Study
from usplit_core.errors import UserError
from usplit_core.settings import Setting
from usplit_core.vocabulary import MONITOR

SETTINGS: Mapping[str, Setting] = MappingProxyType({
    "data.path": "synthetic:glyphs?frames=12&size_px=96",
    "model.lc_depth": 1,
    "model.patch_px": 32,
    "model.depth": 2,
    "model.latent_channels": 8,
    "train.steps_per_epoch": 6,
    "train.batch_size": 8,
})  # fmt: skip

GRID = Study(
    name="early-stopping",
    question="Does ASHA find the best configuration with fewer steps?",
    base={**SETTINGS, "train.epochs": 9},
    train={
        "model.filters": Grid(4, 8, 12),
        "train.learning_rate": Grid(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    },
    evaluate={"tiling.padding_px": Grid(8)},
    objective=MONITOR.key,
)


class Comparison(NamedTuple):
    """Both studies: training steps, the best value, dB, and the rank of ASHA's winner in the full grid."""

    full_steps: int
    asha_steps: int
    full_best_db: float
    asha_best_db: float
    rank: int
    pruned: int


def compare(grid: Study, folder: Path, *, reduction: float = 3) -> Comparison:
    """Run a grid in full and under ASHA, in two stores."""
    full = study.run(grid, store=folder / "full", quiet=True)
    asha = study.run(replace(grid, stopping=ASHA(reduction=reduction)), store=folder / "asha", quiet=True)
    best = asha.best
    if best is None:
        raise UserError("no trial was trained to the end: nothing to compare")
    ranking = sorted(full.trials, key=_value, reverse=True)
    rank = 1 + [row.fingerprint for row in ranking].index(best.fingerprint)
    return Comparison(
        full_steps=_steps(full),
        asha_steps=_steps(asha),
        full_best_db=_value(ranking[0]),
        asha_best_db=best.metrics[MONITOR.key],
        rank=rank,
        pruned=sum(row.state == "pruned" for row in asha.trials),
    )


def _value(row: TrialRow) -> float:
    return row.metrics.get(MONITOR.key, float("-inf"))


def _steps(result: StudyResult) -> int:
    return sum(row.epochs_run * int(str(row.settings["train.steps_per_epoch"])) for row in result.trials)


def report(found: Comparison) -> str:
    """Return the comparison as a Markdown table."""
    share = found.asha_steps / found.full_steps
    asha = f"ASHA, {found.pruned} stopped early"
    return "\n".join([
        "| study | training steps | best validation PSNR, dB | rank of its best in the full grid |",
        "|---|---|---|---|",
        f"| full grid | {found.full_steps} | {found.full_best_db:.2f} | 1 |",
        f"| {asha} | {found.asha_steps} ({share:.0%}) | {found.asha_best_db:.2f} | {found.rank} |",
    ])  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.early_stopping", description=__doc__.partition("\n")[0])
    parser.add_argument("--reduction", type=float, default=3)
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        say(report(compare(GRID, Path(folder), reduction=options.reduction)))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
