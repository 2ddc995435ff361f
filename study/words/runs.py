"""From a point to a run, and from a run to its evaluations."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from study.words.factors import Factor, levels_of
from study.words.rules import Constraint, is_evaluation_setting, shown
from usplit_core.config import RunConfig, TilingConfig, check_tiling
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting, resolve

_SECTION = "tiling."
#: A training has no tiling, but a run has; this one suits every network.
_NEUTRAL: Mapping[str, Setting] = {f"{_SECTION}mode": "inner", f"{_SECTION}padding_px": 0}


class Way(NamedTuple):
    """One way to evaluate: a combination of evaluation levels and the tiling that it makes."""

    combination: dict[str, Setting]
    tiling: TilingConfig


class Ways(NamedTuple):
    """All ways of a study, and the constraints that rule some of them out for some trainings."""

    all: tuple[Way, ...]
    constraints: tuple[Constraint, ...]

    def of(self, run: RunConfig) -> list[Way]:
        """Return the ways that the constraints allow for a training."""
        if not self.constraints:
            return list(self.all)
        return [way for way in self.all if self.reason_against(run, way) is None]

    def reason_against(self, run: RunConfig, way: Way) -> str | None:
        """Return why a training is not evaluated in this way, or None if it is."""

        def lookup(name: str) -> Setting:
            found: Setting = attrgetter(name.removeprefix(_SECTION))(way.tiling if name.startswith(_SECTION) else run)
            return found

        return next((rule.reason for rule in self.constraints if not rule.holds(lookup)), None)


def make_ways(base: Mapping[str, Setting], evaluate: Mapping[str, Factor], constraints: Sequence[Constraint]) -> Ways:
    """Return every combination of evaluation levels as a tiling; the values have been checked."""
    stated = {name.removeprefix(_SECTION): value for name, value in base.items() if is_evaluation_setting(name)}
    ways = []
    for levels in itertools.product(*map(levels_of, evaluate.values())):
        combination = dict(zip(evaluate, levels, strict=True))
        fields = {name.removeprefix(_SECTION): value for name, value in combination.items()}
        ways.append(Way(combination, TilingConfig.model_validate({**stated, **fields})))
    return Ways(tuple(ways), tuple(rule for rule in constraints if rule.is_of_evaluations))


def run_of(base: Mapping[str, Setting], point: Mapping[str, Setting], ways: Ways) -> RunConfig:
    """Return the training of a point, with the first tiling that it is evaluated under.

    Raises
    ------
    ConfigError
        If the point is no legal run; names it.
    """
    settings = {name: value for name, value in {**base, **point}.items() if not is_evaluation_setting(name)}
    try:
        run = resolve({**settings, **_NEUTRAL})
    except ConfigError as error:
        raise _named(error, point) from None
    allowed = ways.of(run)
    if not allowed:
        return run
    try:
        return _with_tiling(run, allowed[0].tiling)
    except ConfigError as error:
        raise _named(error, point) from None


def evaluations_of(run: RunConfig, ways: Ways) -> Iterator[RunConfig]:
    """Yield `run` in every way that it is evaluated.

    Raises
    ------
    ConfigError
        If a way is none for this network; names it.
    """
    for way in ways.of(run):
        try:
            yield _with_tiling(run, way.tiling)
        except ConfigError as error:
            raise _named(error, way.combination) from None


def with_seed(run: RunConfig, seed: int) -> RunConfig:
    """Return `run` with the seed of a replicate, which has been checked."""
    return run.model_copy(update={"train": run.train.model_copy(update={"seed": seed})})


def _with_tiling(run: RunConfig, tiling: TilingConfig) -> RunConfig:
    # Only the tiling is new, so the rest of the run need not be checked again.
    check_tiling(run.model, tiling)
    return run.model_copy(update={"tiling": tiling})


def _named(error: ConfigError, combination: Mapping[str, Setting]) -> ConfigError:
    return ConfigError(f"the combination {shown(combination)} is no legal run:\n{error}") if combination else error
