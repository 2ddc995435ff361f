"""The points of population based training: one generation after another, drawn from the values of the one before.

Who is copied, and how a copy is changed, follows from the seed and the values alone, however many
workers there are and however often the study is interrupted (Jaderberg et al., arXiv:1711.09846,
with truncation selection; factors and probability as in Ray Tune's scheduler of that name).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from study.engine.sources import PastPoint, Point, PointState
from study.spec import Population, Study
from study.words.draws import is_legal, random_draws
from study.words.factors import Choice, Factor, Grid, IntRange
from study.words.rules import LeftOut
from study.words.walk import Draw, walk
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting

#: The setting that names the training which a member goes on from.
ORIGIN = "train.continue_from"

_FACTORS = (0.8, 1.2)
#: How often a changed value is drawn anew instead.
_ANEW = 0.25
#: Changes that break a rule or repeat another member, before a copy is left as it is.
_MOST_CHANGES = 100
_MOST_DRAWS = 5000

Settings = dict[str, Setting]


class PopulationSource:
    """The points of one population: number ``generation * members + member``.

    Parameters
    ----------
    study
        A study whose design is a `Population`.
    past
        The points whose values are known.
    still_open
        The points that have been drawn and not been answered yet.
    fingerprint
        Gives the fingerprint of the training that settings make.
    """

    # A member that failed may be tried again and do better: what its generation has led to must be known by then.
    draws_all = True

    def __init__(
        self,
        study: Study,
        past: Sequence[PastPoint],
        still_open: Sequence[Point],
        fingerprint: Callable[[Mapping[str, Setting]], str],
    ) -> None:
        if not isinstance(study.design, Population):
            raise ConfigError(
                f"design = {study.design}: no population; use design=Population(members=…, generations=…)"
            )
        self._study = study
        self._design = study.design
        self._fingerprint = fingerprint
        self._drawn: dict[int, Settings] = {point.number: point.settings for point in still_open}
        self._values: dict[int, float | None] = {}
        for known in past:
            self._drawn[known.number] = known.settings
            self.tell(known.number, known.values, known.state)

    @property
    def left(self) -> int:
        """How many points are still to be drawn; none once a whole generation has failed."""
        number = self._next_number()
        earlier = self._scores_before(number)
        extinct = len(earlier) == self._design.members and not any(score is not None for score in earlier)
        return 0 if extinct else self._design.trials - number

    def next_point(self) -> Point | None:
        """Draw the next member; None where all are drawn, or the generation before is not complete."""
        number = self._next_number()
        if not self.left or self._waits(number):
            return None
        self._drawn[number] = self._draw_generation(number)[number % self._design.members]
        return Point(number, self._drawn[number])

    def tell(self, number: int, values: tuple[float, ...] | None, state: PointState) -> None:
        """Take the value of a member; without a number it has failed."""
        usable = state != "failed" and values is not None and math.isfinite(values[0])
        self._values[number] = values[0] if usable and values is not None else None

    def _next_number(self) -> int:
        return 1 + max(self._drawn, default=-1)

    def _before(self, number: int) -> range:
        """Return the points of the generation before the one that a point belongs to; the first one has none."""
        generation = self._design.generation(number)
        return range(max(0, generation - 1) * self._design.members, generation * self._design.members)

    def _scores_before(self, number: int) -> list[float | None]:
        """Return what is known of the generation before: larger is better, None = failed."""
        sign = 1.0 if self._study.direction == "maximise" else -1.0
        values = [self._values[other] for other in self._before(number) if other in self._values]
        return [None if value is None else sign * value for value in values]

    def _waits(self, number: int) -> bool:
        return len(self._scores_before(number)) < len(self._before(number))

    def _draw_generation(self, number: int) -> list[Settings]:
        before = [self._drawn[other] for other in self._before(number)]
        if not before:
            return _first_generation(self._study, self._design)
        generator = np.random.default_rng((self._design.seed, self._design.generation(number)))
        parents = choose_parents(self._scores_before(number), self._design.replaced, generator)
        origins = [self._fingerprint(before[parent]) for parent in parents]
        members: list[Settings] = []
        for member, parent in enumerate(parents):
            settings = {name: value for name, value in before[parent].items() if name != ORIGIN}
            members.append(settings if parent == member else self._changed(settings, members, generator))
        return [{**settings, ORIGIN: origin} for settings, origin in zip(members, origins, strict=True)]

    def _changed(self, settings: Settings, taken: Sequence[Settings], generator: np.random.Generator) -> Settings:
        """Return settings of a copy that differ from its parent's and from those of the members before it."""
        space, ways = self._study.space, self._study.ways
        for _ in range(_MOST_CHANGES):
            try:
                found = walk(space, _changes(settings, self._design, generator))
            except LeftOut:
                continue
            if found != settings and found not in taken and is_legal(space, found, ways):
                return found
        return settings


def choose_parents(scores: Sequence[float | None], replaced: float, generator: np.random.Generator) -> list[int]:
    """Return which member of a generation each member of the next one goes on from: itself, or a better one.

    Parameters
    ----------
    scores
        One a member, larger is better; None = failed, which is always replaced. One must not be None.
    replaced
        Part of the members that is replaced by copies of as many of the best.
    generator
        Decides which of the best.
    """
    # Of equal scores the earlier member is the better one: sorting keeps their order.
    finished = [(score, member) for member, score in enumerate(scores) if score is not None]
    ranked = [member for _, member in sorted(finished, key=lambda pair: -pair[0])]
    count = max(1, int(replaced * len(scores)))
    best = ranked[: max(1, min(count, len(ranked) // 2))]
    failed = len(scores) - len(ranked)
    kept = set(ranked[: len(ranked) - max(0, count - failed)]) | set(best)
    return [member if member in kept else int(generator.choice(best)) for member in range(len(scores))]


def change(factor: Factor, value: Setting, generator: np.random.Generator) -> Setting:
    """Return a value near `value`: a fifth more or less, the next level, or now and then any other.

    Parameters
    ----------
    factor
        What the value must lie in.
    value
        Where to begin.
    generator
        Decides.
    """
    if generator.random() < _ANEW or value not in factor:
        return factor.at(generator.random())
    up = bool(generator.integers(2))
    if isinstance(factor, Grid | Choice):
        return _neighbour(factor, factor.index(value), up)
    number = float(value) if isinstance(value, int | float) else math.nan
    scaled = number * _FACTORS[up]
    if not isinstance(factor, IntRange):
        return min(max(scaled, factor.low), factor.high)
    steps = max(1, round(abs(scaled - number) / factor.step))
    index = factor.values.index(int(number)) + (steps if up else -steps)
    return factor.values[min(max(index, 0), len(factor.values) - 1)]


def _neighbour(levels: Sequence[Setting], index: int, up: bool) -> Setting:
    """Return the level beside another; at an end, the one inwards."""
    beside = index + (1 if up else -1)
    if not 0 <= beside < len(levels):
        beside = index + (-1 if up else 1)
    return levels[min(max(beside, 0), len(levels) - 1)]


def _changes(settings: Settings, design: Population, generator: np.random.Generator) -> Draw:
    """Return the draw that keeps the values of `settings` but for what a copy may change."""

    def draw(name: str, factor: Factor) -> Setting:
        if name not in settings:
            return factor.at(generator.random())
        if design.may_change(name):
            return change(factor, settings[name], generator)
        if settings[name] not in factor:
            raise LeftOut(f"{name} has no such value")
        return settings[name]

    return draw


def _first_generation(study: Study, design: Population) -> list[Settings]:
    found: list[Settings] = []
    draws = random_draws(study.space, design.seed)
    for _ in range(_MOST_DRAWS):
        try:
            settings = walk(study.space, next(draws))
        except LeftOut:
            continue
        if settings not in found and is_legal(study.space, settings, study.ways):
            found.append(settings)
        if len(found) == design.members:
            return found
    raise ConfigError(
        f"{design}: {_MOST_DRAWS} draws gave only {len(found)} different points; lower members, loosen a rule, "
        "or add levels"
    )
