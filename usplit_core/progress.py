"""How far a training has come, and what follows from it: pure functions of the epochs so far.

A `Progress` is JSON-able and part of every training file, so an interrupted training decides as an
uninterrupted one would (docs/method.md, Training).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from usplit_core.config import TrainConfig
from usplit_core.vocabulary import MONITOR

#: An epoch counts as better from this gain on, in dB (juglab/uSplit usplit/training.py).
MIN_GAIN_DB = 1e-6
#: A latent level whose KL divergence, normalised as in the objective, is below this tells the decoder nothing.
SILENT_KL = 1e-5
#: Epochs in a row after which such a level counts as collapsed.
COLLAPSED_AFTER_EPOCHS = 3

Stop = Literal["finished", "early_stop"]


class Progress(NamedTuple):
    """What a training has been through; epochs are counted from 1."""

    history: tuple[dict[str, float], ...] = ()
    """Metrics of every epoch, by the keys of the vocabulary."""
    silent_epochs: tuple[int, ...] = ()
    """Of each latent level from the bottom: epochs in a row in which it carried no information."""
    skipped_in_a_row: int = 0
    """Non-finite steps since the last good one."""
    cost: Mapping[str, float] = {}
    """The cost metrics so far."""
    stopped: Stop | None = None
    """Why the training is over; None while it is not."""
    epochs_before: int = 0
    """Epochs of the trainings that this one goes on from; their history is their own."""

    @property
    def epochs_run(self) -> int:
        """Epochs that are complete."""
        return len(self.history)

    @property
    def age(self) -> int:
        """Epochs that the weights have seen."""
        return self.epochs_before + self.epochs_run

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept; 0 before the first one has ended."""
        return max((epoch for epoch, best in enumerate(is_best(self.history), start=1) if best), default=0)

    @property
    def best_metrics(self) -> dict[str, float]:
        """Metrics of the best epoch; empty before the first epoch has ended."""
        return self.history[self.best_epoch - 1] if self.best_epoch else {}


def progress_from_json(fields: Mapping[str, Any]) -> Progress:
    """Return the progress whose ``_asdict()`` went through JSON.

    Raises
    ------
    TypeError
        If a field is unknown.
    """
    progress = Progress(**fields)
    return progress._replace(history=tuple(progress.history), silent_epochs=tuple(progress.silent_epochs))


def handed_on(earlier: Progress) -> Progress:
    """Return the progress of a training that goes on with the weights of an `earlier` one, before its first epoch."""
    return Progress(
        silent_epochs=earlier.silent_epochs, skipped_in_a_row=earlier.skipped_in_a_row, epochs_before=earlier.age
    )


def add_epoch(progress: Progress, metrics: dict[str, float], train: TrainConfig) -> Progress:
    """Return the progress after one more epoch with these `metrics`."""
    grown = progress._replace(history=(*progress.history, metrics))
    return grown._replace(stopped=_stop(grown, train))


def is_best(history: Sequence[Mapping[str, float]]) -> list[bool]:
    """Return, for each epoch, whether it was the best one when it ended."""
    best = -math.inf
    improved = []
    for metrics in history:
        improved.append(metrics[MONITOR.key] > best + MIN_GAIN_DB)
        best = metrics[MONITOR.key] if improved[-1] else best
    return improved


def add_cost(before: Mapping[str, float], latest: Mapping[str, float]) -> dict[str, float]:
    """Return the cost so far: seconds add up over epochs, of all else the largest counts."""
    together = {key: max(value, before.get(key, value)) for key, value in latest.items()}
    seconds = "cost/train_seconds"
    return together | {seconds: before.get(seconds, 0.0) + latest[seconds]}


def changing(cost: Mapping[str, float]) -> dict[str, float]:
    """Return the cost that each epoch reports: all but the number of parameters, which never changes."""
    return {key: value for key, value in cost.items() if key != "cost/parameters"}


def _stop(progress: Progress, train: TrainConfig) -> Stop | None:
    if progress.epochs_run >= train.epochs:
        return "finished"
    stale = progress.epochs_run - progress.best_epoch
    if train.early_stop_patience is not None and stale >= train.early_stop_patience:
        return "early_stop"
    return None


def count_silent_epochs(before: Sequence[int], metrics: Mapping[str, float]) -> tuple[int, ...]:
    """Return, for each latent level, the epochs in a row in which it carried no information.

    Parameters
    ----------
    before
        The counts before this epoch; empty in the first.
    metrics
        Of this epoch; levels are read from ``train/kl/LEVEL``. Without them the counts stay.
    """
    levels = [metrics[key] for key in map("train/kl/{}".format, range(len(metrics))) if key in metrics]
    if not levels:
        return tuple(before)
    earlier = before or (0,) * len(levels)
    return tuple(count + 1 if kl < SILENT_KL else 0 for count, kl in zip(earlier, levels, strict=True))


def collapsed_levels(silent_epochs: Sequence[int]) -> int:
    """Return how many latent levels have collapsed onto their prior."""
    return sum(count >= COLLAPSED_AFTER_EPOCHS for count in silent_epochs)
