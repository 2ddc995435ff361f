"""The words of a study: what is asked, what varies, how often, and with which resources.

A search space is a Python file with one name, ``STUDY``, that imports everything it needs from
here. All of it is checked when the study object is made, so a misspelt setting is refused before
anything else happens.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from study.words.budget import Budget
from study.words.checks import (
    check_conditions,
    check_constraints,
    check_design,
    check_factors,
    check_name,
    check_names,
    check_objectives,
    check_population,
    check_seeds,
)
from study.words.designs import (
    Adaptive,
    Crossed,
    Design,
    Fractional,
    FullFactorial,
    LatinHypercube,
    OneFactor,
    Population,
    Random,
    Sampler,
    Search,
)
from study.words.draws import check_draws, legal_points, sample
from study.words.factors import Choice, Factor, Grid, IntRange, LogUniform, Range, Uniform, levels_of
from study.words.layouts import Layout, cross
from study.words.overrides import changed_fields
from study.words.resources import Resources
from study.words.rules import AtMost, Condition, Constraint, Only
from study.words.runs import Ways, evaluations_of, make_ways, run_of, with_seed
from study.words.stopping import ASHA, Hyperband, MedianStopping, Stopping, describe_stopping
from study.words.walk import Space, make_space
from usplit_core.config import RunConfig
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting
from usplit_core.vocabulary import HEADLINE, METRICS

__all__ = [
    "ASHA", "AtMost", "Budget", "Choice", "Constraint", "Fractional", "FullFactorial", "Grid", "Hyperband", "IntRange",
    "LatinHypercube", "LogUniform", "MedianStopping", "OneFactor", "Only", "Population", "Random", "Resources",
    "Sampler", "Search", "Study", "Uniform", "evaluation_runs", "left_out", "override", "runs_of_point", "train_points",
    "train_runs",
]  # fmt: skip

#: Draws of a search that stand for all of it, where something is checked before it draws.
_SAMPLE = 32


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
        Train factors, by dotted name; `design` says which of their combinations are trained.
    evaluate
        Evaluation factors (``tiling.…``): every combination is scored from the same weights.
    design
        Which combinations are trained.
    conditions
        How far, and where, a train factor varies.
    constraints
        Combinations that are left out, with the reason.
    replicates
        Number of seeds, or the seeds themselves. One seed decides the initial weights and the order
        of the data under every combination, so differences can be paired.
    objective
        Metric that decides which combination is best; of a `Search`, it may be several.
    budget
        When the study stops by itself.
    stopping
        When a trial that falls behind is stopped; None = never. Trials that may be stopped write each epoch,
        whatever ``train.checkpoint_every_epochs`` says.
    resources
        What one trial occupies.
    failures_allowed
        Trials that may fail in one way before the study stops.
    """

    name: str
    question: str
    base: Mapping[str, Setting]
    train: Mapping[str, Factor] = field(default_factory=dict)
    evaluate: Mapping[str, Grid] = field(default_factory=dict)
    design: Design = field(default_factory=FullFactorial)
    conditions: tuple[Condition, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    replicates: int | tuple[int, ...] = 1
    objective: str | tuple[str, ...] = HEADLINE.key
    budget: Budget = field(default_factory=Budget)
    stopping: Stopping | None = None
    resources: Resources = field(default_factory=Resources)
    failures_allowed: int = 3

    def __post_init__(self) -> None:
        check_name(self.name)
        for group in ("base", "train", "evaluate"):
            object.__setattr__(self, group, MappingProxyType(dict(getattr(self, group))))
        if not isinstance(self.design, Design):
            raise ConfigError(
                f"design = {self.design!r} is no design; use such as FullFactorial() or Random(trials=20)"
            )
        if self.failures_allowed < 0:
            raise ConfigError(f"failures_allowed = {self.failures_allowed}: give 0 or more")
        check_names(self.base, self.train, self.evaluate, self.conditions)
        check_factors(self.train, self.evaluate, self.design)
        check_conditions(self.train, self.conditions)
        check_constraints(self.constraints)
        check_design(self.train, self.design)
        check_objectives(self.objective, self.design)
        check_seeds(self.replicates, self.seeds)
        if isinstance(self.design, Population):
            check_population(self.train, self.design, self.seeds, self.stopping)
        if self.stopping is not None and len(self.objectives) > 1:
            raise ConfigError(
                f"stopping = {self.stopping}: a trial that was stopped has no cost to compare with that of others; "
                "set stopping to None, or name one objective"
            )
        if not isinstance(self.design, Crossed):
            check_draws(self.space, self.design, self.ways)
        if not self.is_search and not self.layout.points:
            raise ConfigError("the rules leave nothing to train: loosen one of them")

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the replicates."""
        return tuple(range(self.replicates)) if isinstance(self.replicates, int) else tuple(self.replicates)

    @property
    def is_search(self) -> bool:
        """Whether points are drawn one by one, with an eye to the values of earlier ones."""
        return isinstance(self.design, Adaptive)

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics that decide which combination is best; all but a search have one."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective

    @property
    def directions(self) -> tuple[str, ...]:
        """Whether larger or smaller is better, one an objective: ``maximise`` or ``minimise``."""
        return tuple("minimise" if METRICS[key].better == "lower" else "maximise" for key in self.objectives)

    @property
    def direction(self) -> str:
        """Whether a larger or a smaller value of the first objective is better."""
        return self.directions[0]

    @cached_property
    def space(self) -> Space:
        """What varies in training, in the order in which it is drawn."""
        return make_space(self.base, self.train, self.conditions, self.constraints)

    @cached_property
    def ways(self) -> Ways:
        """How each training is evaluated."""
        return make_ways(self.base, self.evaluate, self.constraints)

    @cached_property
    def layout(self) -> Layout:
        """The points of the design; a search has none beforehand."""
        if isinstance(self.design, Crossed):
            return cross(self.space, self.design)
        if isinstance(self.design, Adaptive):
            return Layout((), {})
        return sample(self.space, self.design, self.ways)

    def describe(self) -> dict[str, Any]:
        """Return the study as JSON-able data, for the ledger and the experiment's tag.

        Under ``train``, a factor that is drawn from a range has no levels; ``ranges`` has its ends.
        """
        return {
            "name": self.name,
            "question": self.question,
            "base": dict(self.base),
            "train": {name: list(levels_of(factor)) for name, factor in self.train.items()},
            "ranges": {name: factor.describe() for name, factor in self.train.items() if isinstance(factor, Range)},
            "evaluate": {name: list(levels) for name, levels in self.evaluate.items()},
            "design": self.design.describe(),
            "conditions": [rule.describe() for rule in self.conditions],
            "constraints": [rule.describe() for rule in self.constraints],
            "replicates": list(self.seeds),
            "objective": self.objectives[0],
            "direction": self.direction,
            "objectives": list(self.objectives),
            "directions": list(self.directions),
            "budget": asdict(self.budget),
            "stopping": describe_stopping(self.stopping),
        }


def train_points(study: Study) -> Iterator[dict[str, Setting]]:
    """Yield the value of each train factor in every combination; of a search, which draws later, nothing."""
    return iter(study.layout.points)


def runs_of_point(study: Study, point: Mapping[str, Setting]) -> list[RunConfig]:
    """Return the trainings of a combination, one a seed.

    Raises
    ------
    ConfigError
        If the combination is not a legal run; names it.
    """
    run = run_of(study.base, point, study.ways)
    return [with_seed(run, seed) for seed in study.seeds]


def train_runs(study: Study) -> Iterator[RunConfig]:
    """Yield the run of every combination and seed, replicates of one combination together; of a search, some draws.

    Raises
    ------
    ConfigError
        If a combination is not a legal run; names the combination.
    """
    points = train_points(study)
    if isinstance(study.design, Adaptive):
        points = itertools.islice(legal_points(study.space, study.design, study.ways), _SAMPLE)
    for point in points:
        yield from runs_of_point(study, point)


def evaluation_runs(study: Study, run: RunConfig) -> Iterator[RunConfig]:
    """Yield `run` under every combination of evaluation levels that the constraints allow.

    Raises
    ------
    ConfigError
        If a combination is not a legal run; names the combination.
    """
    return evaluations_of(run, study.ways)


def left_out(study: Study) -> list[tuple[str, int]]:
    """Return what the rules leave out, the reason and the number of combinations; evaluations count once a training."""
    counts = Counter(study.layout.left_out)
    if study.ways.constraints:
        for point in study.layout.points:
            run = run_of(study.base, point, study.ways)
            reasons = (study.ways.reason_against(run, way) for way in study.ways.all)
            counts.update(reason for reason in reasons if reason is not None)
    return list(counts.items())


def override(study: Study, settings: Mapping[str, str]) -> Study:
    """Return the study with settings from a command line put in place of its own; see `changed_fields`.

    Raises
    ------
    ConfigError
        If a name is unknown, a text is no value of that setting, or the study thereby contradicts itself.
    """
    return replace(study, **changed_fields(study, settings))
