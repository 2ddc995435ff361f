"""What the store holds of one study, as typed rows: all that statistics, tables and figures ever see.

Axis letters: C structure channel, Y, X.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from usplit_core.errors import UserError
from usplit_core.settings import Setting

State = Literal["finished", "failed", "pruned", "interrupted", "running"]
Settings = Mapping[str, Setting]


class MissingRuns(UserError):
    """The store lacks what a figure or a statement needs; the message says what, and how to run it."""


class NotVaried(MissingRuns):
    """The study never set out to vary what a figure shows: nothing is missing, and nothing need be said."""


class Point(NamedTuple):
    """One value of a metric's history; the step of a trial is its epoch."""

    step: int
    value: float


class FrameScore(NamedTuple):
    """The scores of one structure channel of one test frame, by metric key without its ``test/``."""

    frame: int
    channel: int
    scores: Mapping[str, float]


class Sample(NamedTuple):
    """A crop of one test frame, in intensities; the same place for every trial on the same data.

    `calibration` is that of all test frames, in normalised units: number of pixels, predicted deviation and error of
    each bin, (C, bins, 3); None where a pixel was predicted once.
    """

    input: NDArray[Any]  # (Y, X)
    prediction: NDArray[Any]  # (C, Y, X)
    target: NDArray[Any]  # (C, Y, X)
    channels: tuple[str, ...] = ()  # names, where the images have them
    calibration: NDArray[Any] | None = None


class Trial(NamedTuple):
    """One training; `history` asks the store for every epoch of a metric, and is empty for an unknown one.

    `started` is when its run was opened, in seconds since 1970; `tags` is what the store notes beside it, such as
    the host, the device and the versions.
    """

    fingerprint: str
    run_id: str
    cell: str
    settings: Settings
    state: State
    reason: str
    metrics: Mapping[str, float]
    history: Callable[[str], tuple[Point, ...]]
    started: float = 0.0
    tags: Mapping[str, str] = MappingProxyType({})

    @property
    def seed(self) -> Setting:
        """What tells the replicates of a cell apart."""
        return self.settings.get("train.seed")


class Evaluation(NamedTuple):
    """One trial under one tiling; `frames` and `sample` ask the store, and are empty where it has none."""

    trial: str
    run_id: str
    settings: Settings
    metrics: Mapping[str, float]
    frames: Callable[[], tuple[FrameScore, ...]]
    sample: Callable[[], Sample | None]

    @property
    def seed(self) -> Setting:
        """What tells the replicates of a cell apart."""
        return self.settings.get("train.seed")


class StudyRecord(NamedTuple):
    """A study as the store knows it; `analysis.description` makes it.

    `train` and `evaluate` are the factors with their levels in the order of the search space; `objective` is the
    first of the `objectives`; `plan` is the study's description of itself, as its experiment's tag holds it.
    """

    name: str
    question: str
    train: Mapping[str, tuple[Setting, ...]]
    evaluate: Mapping[str, tuple[Setting, ...]]
    replicates: tuple[Setting, ...]
    objective: str
    objectives: tuple[str, ...]
    direction: str
    trials: tuple[Trial, ...]
    evaluations: tuple[Evaluation, ...]
    tracking_uri: str
    plan: Mapping[str, Any]

    def __hash__(self) -> int:
        """Records that are equal have equal hashes: what is derived from one is computed once, and kept by it."""
        return hash((self.name, self.tracking_uri, len(self.trials), len(self.evaluations)))

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The trials whose results may be compared."""
        return tuple(trial for trial in self.trials if trial.state == "finished")
