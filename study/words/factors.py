"""The words for what varies: levels that are crossed, levels and ranges that are drawn from.

A factor of a sampled design answers one question: which value lies at a position between 0 and 1.
A condition may narrow it first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeGuard

from usplit_core.errors import ConfigError
from usplit_core.settings import Setting, format_setting


class _Levels(tuple[Setting, ...]):
    """Levels that differ from one another."""

    def __new__(cls, *levels: Setting) -> Self:
        return super().__new__(cls, _checked(cls.__name__, levels))

    def __getnewargs__(self) -> tuple[Setting, ...]:
        """Let copies and pickles be made of the levels, not of one level that holds them all."""
        return tuple(self)

    def at(self, position: float) -> Setting:
        """Return the level at `position` in [0, 1)."""
        return self[min(int(position * len(self)), len(self) - 1)]

    def up_to(self, bound: float) -> Self | None:
        """Return the levels that do not exceed `bound`; None where there are none."""
        kept = [level for level in self if isinstance(level, int | float) and level <= bound]
        return type(self)(*kept) if kept else None

    def describe(self) -> dict[str, Any]:
        """Return the factor as JSON-able data."""
        return {"kind": type(self).__name__, "levels": list(self)}


class Grid(_Levels):
    """The levels of a factor; every one is combined with every level of the other factors."""


class Choice(_Levels):
    """The levels of a factor; each trial draws one, all equally likely."""


@dataclass(frozen=True)
class Uniform:
    """A number between `low` and `high`, all equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self)

    def __contains__(self, value: object) -> bool:
        return is_number(value) and self.low <= value <= self.high

    def at(self, position: float) -> float:
        """Return the value at `position` in [0, 1]."""
        return min(max(self.low + position * (self.high - self.low), self.low), self.high)

    def up_to(self, bound: float) -> "Uniform | Choice | None":
        """Return the part that does not exceed `bound`; None where there is none."""
        if bound <= self.low:
            return Choice(self.low) if bound == self.low else None
        return Uniform(self.low, min(self.high, bound))

    def describe(self) -> dict[str, Any]:
        """Return the factor as JSON-able data."""
        return {"kind": "Uniform", **vars(self)}


@dataclass(frozen=True)
class LogUniform:
    """A number between `low` and `high`, all orders of magnitude equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self)
        if self.low <= 0:
            raise ConfigError(f"{self}: a logarithm needs low above 0; raise low, or use Uniform")

    def __contains__(self, value: object) -> bool:
        return is_number(value) and self.low <= value <= self.high

    def at(self, position: float) -> float:
        """Return the value at `position` in [0, 1]."""
        value = self.low * math.exp(position * math.log(self.high / self.low))
        return min(max(value, self.low), self.high)

    def up_to(self, bound: float) -> "LogUniform | Choice | None":
        """Return the part that does not exceed `bound`; None where there is none."""
        if bound <= self.low:
            return Choice(self.low) if bound == self.low else None
        return LogUniform(self.low, min(self.high, bound))

    def describe(self) -> dict[str, Any]:
        """Return the factor as JSON-able data."""
        return {"kind": "LogUniform", **vars(self)}


@dataclass(frozen=True)
class IntRange:
    """A whole number from `low` to `high`, both included, in steps of `step`, all equally likely."""

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in vars(self).values()):
            raise ConfigError(f"{self}: an IntRange has whole numbers; for others use Uniform or LogUniform")
        _check_ends(self)
        if self.step < 1:
            raise ConfigError(f"{self}: step must be at least 1")
        if (self.high - self.low) % self.step:
            last = self.high - (self.high - self.low) % self.step
            raise ConfigError(f"{self}: steps of {self.step} from {self.low} miss high; set high to {last}")

    @property
    def values(self) -> range:
        """All values, in order."""
        return range(self.low, self.high + 1, self.step)

    def __contains__(self, value: object) -> bool:
        return is_number(value) and value in self.values

    def at(self, position: float) -> int:
        """Return the value at `position` in [0, 1)."""
        return self.values[min(int(position * len(self.values)), len(self.values) - 1)]

    def up_to(self, bound: float) -> "IntRange | Choice | None":
        """Return the part that does not exceed `bound`; None where there is none."""
        values = range(self.low, min(self.high, math.floor(bound)) + 1, self.step)
        if len(values) > 1:
            return IntRange(self.low, values[-1], self.step)
        return Choice(self.low) if values else None

    def describe(self) -> dict[str, Any]:
        """Return the factor as JSON-able data."""
        return {"kind": "IntRange", **vars(self)}


Range = Uniform | LogUniform | IntRange
Drawn = Choice | Uniform | LogUniform | IntRange
Factor = Grid | Choice | Uniform | LogUniform | IntRange


def is_number(value: object) -> TypeGuard[int | float]:
    """Say whether `value` has a place on a numeric axis; True and False have none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def levels_of(factor: Factor) -> tuple[Setting, ...]:
    """Return the levels of a factor; a range has none."""
    return tuple(factor) if isinstance(factor, Grid | Choice) else ()


def _checked(word: str, levels: Sequence[Setting]) -> Sequence[Setting]:
    if not levels:
        raise ConfigError(f"a {word} without levels varies nothing: give at least one level, such as {word}(0, 2)")
    texts: set[str] = set()
    for index, level in enumerate(levels):
        if level in levels[:index] or format_setting(level) in texts:
            shown = ", ".join(map(repr, levels))
            raise ConfigError(f"{word}({shown}) names {level!r} twice: every level counts once; remove one of them")
        texts.add(format_setting(level))
    return levels


def _check_ends(factor: Range) -> None:
    for end in (factor.low, factor.high):
        if not is_number(end) or not math.isfinite(end):
            raise ConfigError(f"{factor}: low and high must be finite numbers; for other values use Choice")
    if factor.low >= factor.high:
        raise ConfigError(f"{factor}: low must be below high; for a single value set it in base")
