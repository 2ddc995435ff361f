"""The words of a study: what is asked, what varies, how often, and with which resources.

A search space is a Python file with one name, ``STUDY``. Everything in it is checked when the
study object is made, so a misspelt setting is refused before anything else happens.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from usplit_core.config import EVALUATION_SECTIONS, RunConfig
from usplit_core.errors import ConfigError, nearest
from usplit_core.settings import Setting, parse_setting, resolve, setting
from usplit_core.vocabulary import HEADLINE, METRICS

_SEED = "train.seed"


class Grid(tuple[Setting, ...]):
    """The levels of a factor; every one is combined with every level of the other factors."""

    def __new__(cls, *levels: Setting) -> "Grid":
        if not levels:
            raise ConfigError("a Grid without levels varies nothing: give at least one level, such as Grid(0, 2)")
        duplicates = [level for index, level in enumerate(levels) if level in levels[:index]]
        if duplicates:
            raise ConfigError(f"Grid{levels} names {duplicates[0]!r} twice: every level counts once")
        return super().__new__(cls, levels)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial occupies while it runs.

    Attributes
    ----------
    cpus
        Cores, which is also the number of threads that a trial computes with.
    gpus
        GPUs or a fraction of one; None = one where the machine has any, else none.
    """

    cpus: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise ConfigError(f"resources.cpus = {self.cpus}: a trial needs at least one core")
        if self.gpus is not None and not (0 <= self.gpus <= 1 or self.gpus == int(self.gpus)):
            raise ConfigError(f"resources.gpus = {self.gpus}: use a fraction up to 1, or a whole number")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question and the runs that answer it.

    Attributes
    ----------
    name
        Names the study in the store; lower-case letters, digits, ``-`` and ``_``.
    question
        One sentence, shown in the report and in the dashboard.
    base
        Settings that hold in every run, by dotted name.
    train
        Train factors: every combination of their levels is trained, once for each seed.
    evaluate
        Evaluation factors (``tiling.…``): every combination is scored from the same weights.
    replicates
        Number of seeds, or the seeds themselves.
    objective
        Metric that decides which configuration is best.
    resources
        What one trial occupies.
    """

    name: str
    question: str
    base: Mapping[str, Setting]
    train: Mapping[str, Grid] = field(default_factory=dict)
    evaluate: Mapping[str, Grid] = field(default_factory=dict)
    replicates: int | tuple[int, ...] = 1
    objective: str = HEADLINE.key
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,60}", self.name):
            raise ConfigError(f"study name {self.name!r}: use lower-case letters, digits, - and _, at most 61 of them")
        for group in ("base", "train", "evaluate"):
            object.__setattr__(self, group, MappingProxyType(dict(getattr(self, group))))
        _check_names(self)
        _check_objective(self.objective)
        if not self.seeds:
            raise ConfigError(f"replicates = {self.replicates!r}: a study needs at least one seed")

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the replicates."""
        return tuple(range(self.replicates)) if isinstance(self.replicates, int) else tuple(self.replicates)

    @property
    def direction(self) -> str:
        """Whether a larger or a smaller objective is better."""
        return "minimise" if METRICS[self.objective].better == "lower" else "maximise"

    def describe(self) -> dict[str, Any]:
        """Return the study as JSON-able data, for the ledger and the experiment's tag."""
        return {
            "name": self.name,
            "question": self.question,
            "base": dict(self.base),
            "train": {name: list(levels) for name, levels in self.train.items()},
            "evaluate": {name: list(levels) for name, levels in self.evaluate.items()},
            "replicates": list(self.seeds),
            "objective": self.objective,
            "direction": self.direction,
        }


def _check_names(study: Study) -> None:
    for name in (*study.base, *study.train, *study.evaluate):
        setting(name)
    for name in study.train:
        if name.startswith(EVALUATION_SECTIONS):
            raise ConfigError(f"{name} never needs a new training: name it under evaluate, not under train")
        if name == _SEED:
            raise ConfigError(f"{_SEED} is what replicates vary: set replicates = {tuple(study.train[name])!r} instead")
        if name in study.base:
            raise ConfigError(f"{name} is both set in base and varied in train: remove one of them")
    for name in study.evaluate:
        if not name.startswith(EVALUATION_SECTIONS):
            raise ConfigError(f"{name} needs a new training for each level: name it under train, not under evaluate")
        if name in study.base:
            raise ConfigError(f"{name} is both set in base and varied in evaluate: remove one of them")


def _check_objective(key: str) -> None:
    if key not in METRICS:
        raise ConfigError(f"objective = {key!r} is no metric that a trial reports; {nearest(key, METRICS)}")
    if METRICS[key].better == "neither":
        raise ConfigError(f"objective = {key!r}: neither more nor less of it is better; use such as {HEADLINE.key}")


def train_runs(study: Study) -> Iterator[RunConfig]:
    """Yield the run of every combination of train levels and seeds, replicates of one combination together.

    Raises
    ------
    ConfigError
        If a combination is not a legal run; names the combination.
    """
    # A training has no tiling, but a run has: any that is asked for will do.
    tiling = {name: levels[0] for name, levels in study.evaluate.items()}
    for levels in itertools.product(*study.train.values()):
        combination = dict(zip(study.train, levels, strict=True))
        for seed in study.seeds:
            yield _resolve_combination({**study.base, **tiling, **combination, _SEED: seed}, combination)


def evaluation_runs(study: Study, run: RunConfig) -> Iterator[RunConfig]:
    """Yield `run` under every combination of evaluation levels."""
    for levels in itertools.product(*study.evaluate.values()):
        combination = dict(zip(study.evaluate, levels, strict=True))
        settings = {**study.base, **_levels_of(study, run), **combination, _SEED: run.train.seed}
        yield _resolve_combination(settings, combination)


def _levels_of(study: Study, run: RunConfig) -> dict[str, Setting]:
    dump = run.model_dump()
    return {name: dump[name.partition(".")[0]][name.partition(".")[2]] for name in study.train}


def _resolve_combination(settings: Mapping[str, Setting], combination: Mapping[str, Setting]) -> RunConfig:
    try:
        return resolve(settings)
    except ConfigError as error:
        if not combination:
            raise
        where = ", ".join(f"{name} = {value!r}" for name, value in combination.items())
        raise ConfigError(f"the combination {where} is no legal run:\n{error}") from None


def override(study: Study, settings: Mapping[str, str]) -> Study:
    """Return the study with settings from a command line put in place of its own.

    Parameters
    ----------
    study
        The study as its file says.
    settings
        Texts by name. A factor takes a comma-separated list of levels; ``replicates`` a number.

    Raises
    ------
    ConfigError
        If a name is unknown or a text is no value of that setting.
    """
    base, train, evaluate, replicates = dict(study.base), dict(study.train), dict(study.evaluate), study.replicates
    for name, text in settings.items():
        if name == "replicates":
            if not text.isdigit() or int(text) < 1:
                raise ConfigError(f"replicates = {text!r}: give a whole number of seeds, at least 1")
            replicates = int(text)
        elif name in train:
            train[name] = _levels(name, text)
        elif name in evaluate:
            evaluate[name] = _levels(name, text)
        else:
            base[name] = parse_setting(name, text)
    return replace(study, base=base, train=train, evaluate=evaluate, replicates=replicates)


def _levels(name: str, text: str) -> Grid:
    return Grid(*(parse_setting(name, item.strip()) for item in text.split(",")))
