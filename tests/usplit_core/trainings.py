"""A training of milliseconds, for the tests of this folder."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from usplit_core import learner, training
from usplit_core.checkpoint import load_model
from usplit_core.config import RunConfig
from usplit_core.data.mixing import Statistics, fit_statistics
from usplit_core.data.splits import Parts, split
from usplit_core.models import Prediction
from usplit_core.objective import Loss, compute_loss
from usplit_core.settings import resolve
from usplit_core.training import EpochReport, FitResult, StopTraining, fit

_TINY: dict[str, Any] = {
    "data.path": "none.tif",
    "model.patch_px": 16,
    "model.lc_depth": 1,
    "model.depth": 2,
    "model.filters": 4,
    "model.latent_channels": 2,
    "tiling.padding_px": 4,
    "train.epochs": 4,
    "train.steps_per_epoch": 2,
    "train.batch_size": 2,
}


def tiny_run(**settings: Any) -> RunConfig:
    """Return a run of 4 epochs of 2 steps; settings are named as in ``train__epochs=2``."""
    return resolve({**_TINY, **{name.replace("__", "."): value for name, value in settings.items()}})


def tiny_parts(run: RunConfig) -> tuple[Parts, Statistics]:
    """Return 6 frames of 32 px, two channels of stripes and noise, split into parts, and their statistics."""
    generator = np.random.default_rng(0)
    stripes = 100 + 50 * np.sin(np.arange(32) / 3)
    frames = np.stack([np.tile(stripes, (6, 32, 1)), np.tile(stripes[:, None], (6, 1, 32))], axis=1)
    parts = split(generator.poisson(frames).astype(np.uint16), run.data)
    return parts, fit_statistics(parts.train, run.data)


def ignore(report: EpochReport) -> None:
    """Listen to nothing."""


def tiny_fit(
    run: RunConfig, folder: Path, *, report: Callable[[EpochReport], None] = ignore, **arguments: Any
) -> FitResult:
    """Fit `run` on `tiny_parts`."""
    parts, statistics = tiny_parts(run)
    names = ("vertical", "horizontal")
    return fit(run, parts, statistics=statistics, channel_names=names, folder=folder, report=report, **arguments)


class Listener:
    """Keeps the reports; raises `error` after `epoch`."""

    def __init__(self, *, epoch: int = 0, error: type[BaseException] = StopTraining) -> None:
        self.reports: list[EpochReport] = []
        self._epoch, self._error = epoch, error

    def __call__(self, report: EpochReport) -> None:
        self.reports.append(report)
        if report.epoch == self._epoch:
            raise self._error

    def numbers(self) -> list[dict[str, float]]:
        """Return what must not depend on the speed of the machine."""
        return [without_speed(report.metrics) for report in self.reports]


def without_speed(metrics: dict[str, float]) -> dict[str, float]:
    return {
        key: value
        for key, value in metrics.items()
        if key != "train/patches_per_second" and not key.startswith("cost/")
    }


def weights(path: Path) -> dict[str, Tensor]:
    return dict(load_model(path)[0].state_dict())


def lose(monkeypatch: pytest.MonkeyPatch, broken: Callable[[int, Loss], Loss]) -> None:
    """Let `broken` change the loss of each training step, counted from 0."""
    steps = iter(range(10_000))

    def changed(prediction: Prediction, target: Tensor, config: RunConfig, **arguments: Any) -> Loss:
        return broken(next(steps), compute_loss(prediction, target, config, **arguments))

    monkeypatch.setattr(learner, "compute_loss", changed)


def not_finite_in(steps: range) -> Callable[[int, Loss], Loss]:
    return lambda step, loss: loss._replace(loss=loss.loss * (math.nan if step in steps else 1))


def score(monkeypatch: pytest.MonkeyPatch, *psnr: float) -> None:
    """Let the validation give these values, epoch by epoch."""
    values = iter(psnr)
    monkeypatch.setattr(training, "validate", lambda *_: {"validation/psnr_db": next(values)})
