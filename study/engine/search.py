"""A search: Optuna samplers draw the points of a space, one after another.

Optuna keeps nothing on disk: the ledger remembers the points, and a search is built anew from
them at every launch. This is the only file that knows Optuna.
"""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from study.engine.sources import PastPoint, Point, PointState
from study.spec import Study
from study.words.designs import Search
from study.words.draws import is_legal, random_draws
from study.words.factors import Factor, IntRange, LogUniform, Uniform
from study.words.rules import LeftOut
from study.words.walk import Draw, walk
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting, format_setting

#: Draws of the sampler that repeat a point or break a rule, before one is drawn at random instead.
_MOST_REPEATS = 50
_MOST_RANDOM_DRAWS = 5000

#: Samplers that note in a trial which generation it belongs to, so they must be asked for a known point, too.
_WITH_GENERATIONS = ("cma-es", "nsga-ii")

_STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class _Parameter(NamedTuple):
    """A factor, as far as earlier factors leave it, in Optuna's terms."""

    name: str
    distribution: BaseDistribution
    levels: dict[str, Setting]

    def to_optuna(self, value: Setting) -> CategoricalChoiceType:
        """Return a value as Optuna keeps it: levels as texts, since its records hold no tuples."""
        if self.levels:
            return format_setting(value)
        return value if isinstance(value, int | float) else math.nan

    def from_optuna(self, value: Setting) -> Setting:
        """Return the value that Optuna's stands for."""
        return self.levels[str(value)] if self.levels else value


class SearchSource:
    """The points of one search.

    Parameters
    ----------
    study
        A study whose design is a `Search`.
    past
        The points whose values are known.
    still_open
        The points that have been drawn and not been answered yet.
    """

    draws_all = False

    def __init__(self, study: Study, past: Sequence[PastPoint], still_open: Sequence[Point] = ()) -> None:
        if not isinstance(study.design, Search):
            raise ConfigError(f"design = {study.design}: nothing to search; use design=Search(trials=…)")
        self._study = study
        self._design = study.design
        numbers = [*(point.number for point in past), *(point.number for point in still_open)]
        self._next = 1 + max(numbers, default=-1)
        self._drawn = len(numbers)
        # With the same seed, a relaunched sampler would draw its first points again.
        seed = (study.design.seed + self._drawn) % 2**31
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna.create_study(
            directions=["maximize" if direction == "maximise" else "minimize" for direction in study.directions],
            sampler=_sampler(study.design, seed),
        )
        self._random = random_draws(study.space, seed)
        self._running: dict[int, optuna.Trial] = {}
        self._seen: set[tuple[tuple[str, Setting], ...]] = set()
        for point in past:
            self._remember(point)
        for unanswered in still_open:
            self._reopen(unanswered)

    @property
    def left(self) -> int:
        """How many points are still to be drawn."""
        return max(0, self._design.trials - self._drawn)

    def next_point(self) -> Point | None:
        """Draw a point that was not drawn before; None where as many as the design asks for have been.

        Raises
        ------
        ConfigError
            If the rules, or the points drawn before, leave none.
        """
        if not self.left:
            return None
        for _ in range(_MOST_REPEATS):
            trial = self._ask()
            try:
                settings = walk(self._study.space, _suggestions(self._study, trial))
            except LeftOut:
                settings = None
            if settings is not None and self._is_new(settings):
                return self._begin(trial, settings)
            self._optuna.tell(trial, state=TrialState.FAIL)
        settings = self._draw_at_random()
        return self._begin(self._ask_for(settings), settings)

    def tell(self, number: int, values: tuple[float, ...] | None, state: PointState) -> None:
        """Take the values of a point, one an objective; one that was stopped has its last value."""
        self._finish(self._running.pop(number), values, state)

    def _finish(self, trial: optuna.Trial, values: tuple[float, ...] | None, state: PointState) -> None:
        state = _state(state, values, len(self._study.objectives))
        if state == "pruned" and values:
            trial.report(values[0], step=0)
        self._optuna.tell(trial, list(values) if values and state == "finished" else None, _STATES[state])

    def _begin(self, trial: optuna.Trial, settings: dict[str, Setting]) -> Point:
        point = Point(self._next, settings)
        self._next += 1
        self._drawn += 1
        self._running[point.number] = trial
        self._seen.add(tuple(settings.items()))
        return point

    def _is_new(self, settings: dict[str, Setting]) -> bool:
        return tuple(settings.items()) not in self._seen and is_legal(self._study.space, settings, self._study.ways)

    def _ask(self) -> optuna.Trial:
        with warnings.catch_warnings():
            # Samplers warn where a conditional factor is drawn without a look at the others.
            warnings.simplefilter("ignore")
            return self._optuna.ask()

    def _ask_for(self, settings: dict[str, Setting]) -> optuna.Trial:
        """Return a trial with the values of `settings`."""
        parameters = _parameters(self._study, settings)
        self._optuna.enqueue_trial({part.name: part.to_optuna(settings[name]) for name, part in parameters.items()})
        trial = self._ask()
        walk(self._study.space, _suggestions(self._study, trial))
        return trial

    def _draw_at_random(self) -> dict[str, Setting]:
        for _ in range(_MOST_RANDOM_DRAWS):
            try:
                settings = walk(self._study.space, next(self._random))
            except LeftOut:
                continue
            if self._is_new(settings):
                return settings
        raise ConfigError(
            f"{self._design}: after {self._drawn} points, {_MOST_RANDOM_DRAWS} draws gave none that the rules "
            f"allow and that is new; set trials to {self._drawn}, loosen a rule, or add levels"
        )

    def _remember(self, point: PastPoint) -> None:
        """Let the sampler learn from a point of an earlier launch; one that the space no longer has is left out."""
        self._seen.add(tuple(point.settings.items()))
        try:
            parameters = _parameters(self._study, point.settings)
        except LeftOut:
            return
        if self._design.sampler in _WITH_GENERATIONS:
            self._finish(self._ask_for(point.settings), point.values, point.state)
            return
        state = _state(point.state, point.values, len(self._study.objectives))
        finished, pruned = state == "finished", state == "pruned"
        self._optuna.add_trial(
            optuna.trial.create_trial(
                state=_STATES[state],
                values=list(point.values) if point.values and finished else None,
                params={part.name: part.to_optuna(point.settings[name]) for name, part in parameters.items()},
                distributions={part.name: part.distribution for part in parameters.values()},
                intermediate_values={0: point.values[0]} if point.values and pruned else None,
            )
        )

    def _reopen(self, point: Point) -> None:
        self._seen.add(tuple(point.settings.items()))
        try:
            self._running[point.number] = self._ask_for(point.settings)
        except LeftOut:
            # The space has changed since: its values will be of no use.
            self._running[point.number] = self._ask()


def _sampler(design: Search, seed: int) -> BaseSampler:
    name = design.sampler
    with warnings.catch_warnings():
        # Which of them Optuna calls experimental is no concern of a study's.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        if name == "cma-es":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        if name == "nsga-ii":
            # At least five generations, or it would hardly differ from random draws.
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, min(50, design.trials // 5)))
        return optuna.samplers.RandomSampler(seed=seed)


def _state(state: PointState, values: tuple[float, ...] | None, objectives: int) -> PointState:
    """Return the state of a point; without a number for each objective, it has failed."""
    complete = values is not None and len(values) == objectives and all(map(math.isfinite, values))
    return state if complete else "failed"


def _parameter(name: str, factor: Factor) -> _Parameter | None:
    """Return a factor in Optuna's terms; None where it has one value only."""
    if isinstance(factor, Uniform | LogUniform):
        log = isinstance(factor, LogUniform)
        return _Parameter(name, FloatDistribution(factor.low, factor.high, log=log), {})
    if isinstance(factor, IntRange):
        return _Parameter(name, IntDistribution(factor.low, factor.high, step=factor.step), {})
    if len(factor) == 1:
        return None
    levels = {format_setting(level): level for level in factor}
    return _Parameter(name, CategoricalDistribution(list(levels)), levels)


def _named(study: Study, name: str, factor: Factor) -> _Parameter | None:
    """Return the parameter of a factor; one with fewer levels than all has a name of its own, as Optuna demands."""
    parameter = _parameter(name, factor)
    if parameter is None or not parameter.levels or factor == study.train[name]:
        return parameter
    return parameter._replace(name=f"{name} of {', '.join(parameter.levels)}")


def _suggestions(study: Study, trial: optuna.Trial) -> Draw:
    """Return the draw that asks a trial of Optuna for every value."""

    def draw(name: str, factor: Factor) -> Setting:
        parameter = _named(study, name, factor)
        if parameter is None:
            return factor.at(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return parameter.from_optuna(_suggest(trial, parameter.name, parameter.distribution))

    return draw


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Setting:
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step)
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    raise TypeError(f"{distribution} is none of Optuna's distributions that a factor has")


def _parameters(study: Study, settings: dict[str, Setting]) -> dict[str, _Parameter]:
    """Return the parameters of a point by factor.

    Raises
    ------
    LeftOut
        If the space does not have the point.
    """
    found: dict[str, _Parameter] = {}

    def draw(name: str, factor: Factor) -> Setting:
        if name not in settings or settings[name] not in factor:
            raise LeftOut(f"{name} has no such value")
        parameter = _named(study, name, factor)
        if parameter is not None:
            found[name] = parameter
        return settings[name]

    walk(study.space, draw)
    return found
