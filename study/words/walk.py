"""One walk through the factors of a study makes every point, whichever design asks for it.

Factors come in the order of their dependencies; each is narrowed by the values of the earlier
ones, so a point that the conditions forbid is never drawn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from study.words.factors import Factor
from study.words.rules import AtMost, Condition, Constraint, LeftOut, Lookup, Only, value_of
from usplit_core.errors import ConfigError
from usplit_core.settings import DEFAULT_VALUES, Setting

#: Gives the value of a factor, out of what the earlier factors leave of it; raises `LeftOut` where it has none there.
Draw = Callable[[str, Factor], Setting]


class Step(NamedTuple):
    """One factor with the conditions on it."""

    name: str
    factor: Factor
    only: tuple[Only, ...]
    limits: tuple[AtMost, ...]


class Space(NamedTuple):
    """What varies in training: `steps` in the order of dependencies, `order` as the search space says.

    `constraints` are those of trainings.
    """

    base: Mapping[str, Setting]
    steps: tuple[Step, ...]
    order: tuple[str, ...]
    constraints: tuple[Constraint, ...]

    @property
    def factors(self) -> dict[str, Factor]:
        """The factors by name, in the order of the search space."""
        by_name = {step.name: step.factor for step in self.steps}
        return {name: by_name[name] for name in self.order}


def make_space(
    base: Mapping[str, Setting],
    factors: Mapping[str, Factor],
    conditions: Sequence[Condition],
    constraints: Sequence[Constraint],
) -> Space:
    """Return the space of the train factors, in the order in which they are drawn.

    Raises
    ------
    ConfigError
        If conditions wait for one another.
    """
    steps = tuple(
        Step(
            name,
            factors[name],
            tuple(rule for rule in conditions if isinstance(rule, Only) and rule.factor == name),
            tuple(rule for rule in conditions if isinstance(rule, AtMost) and rule.factor == name),
        )
        for name in _sorted(base, list(factors), conditions)
    )
    of_trainings = tuple(rule for rule in constraints if not rule.is_of_evaluations)
    return Space(base, steps, tuple(factors), of_trainings)


def _sorted(base: Mapping[str, Setting], names: list[str], conditions: Sequence[Condition]) -> Iterator[str]:
    """Yield each factor after those that it depends on, else in their own order."""
    conditional = {rule.factor for rule in conditions if isinstance(rule, Only)}
    stated = {*base, *names} - conditional
    waiting = {
        name: {other for rule in conditions if rule.factor == name for other in _needs(rule, stated) if other in names}
        for name in names
    }
    while waiting:
        ready = next((name for name, needs in waiting.items() if not needs & waiting.keys()), None)
        if ready is None:
            circle = " and ".join(waiting)
            raise ConfigError(f"the conditions on {circle} wait for one another: none can be drawn first; remove one")
        del waiting[ready]
        yield ready


def _needs(rule: Condition, stated: Set[str]) -> Iterator[str]:
    """Yield the settings that must be known before the factor of `rule`; `stated` have a value at every point."""
    names = rule.where if isinstance(rule, Only) else (rule.bound,)
    for name in names:
        yield name
        if name not in stated and name not in DEFAULT_VALUES:
            # Its default follows from the network.
            yield from ("model.architecture", "model.variant")


def walk(space: Space, draw: Draw) -> dict[str, Setting]:
    """Return the point that `draw` makes; a factor that does not vary there is absent.

    Raises
    ------
    LeftOut
        If a condition leaves a factor no value, or a constraint forbids the point.
    """
    settings = dict(space.base)
    drawn: dict[str, Setting] = {}

    def lookup(name: str) -> Setting:
        return value_of(name, settings)

    for step in space.steps:
        if all(rule.holds(lookup) for rule in step.only):
            settings[step.name] = drawn[step.name] = draw(step.name, narrowed(step, lookup))
    for constraint in space.constraints:
        if not constraint.holds(lookup):
            raise LeftOut(constraint.reason)
    return {name: drawn[name] for name in space.order if name in drawn}


def narrowed(step: Step, lookup: Lookup) -> Factor:
    """Return what the values of earlier factors leave of a factor.

    Raises
    ------
    LeftOut
        If they leave nothing.
    """
    factor = step.factor
    for rule in step.limits:
        rest: Factor | None = factor.up_to(rule.limit(lookup))
        if rest is None:
            raise LeftOut(rule.reason)
        factor = rest
    return factor


def taken_from(values: Mapping[str, Setting], space: Space) -> Draw:
    """Return the draw that takes every value from `values`."""
    limits = {step.name: step.limits for step in space.steps}

    def draw(name: str, factor: Factor) -> Setting:
        if values[name] not in factor:
            raise LeftOut(limits[name][0].reason if limits[name] else f"{name} = {values[name]!r} is no level of it")
        return values[name]

    return draw


def drawn_at(positions: Mapping[str, float]) -> Draw:
    """Return the draw that takes the value at a position in [0, 1) of every factor."""
    return lambda name, factor: factor.at(positions[name])
