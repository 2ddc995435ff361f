"""The words for which values go together: conditions between factors, and constraints with a reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from usplit_core.config import EVALUATION_SECTIONS
from usplit_core.errors import ConfigError
from usplit_core.settings import DEFAULT_VALUES, Setting
from usplit_core.variants import DEFAULTS

#: Gives the value that a setting has in a run.
Lookup = Callable[[str], Setting]


class LeftOut(Exception):
    """A combination that a condition or a constraint does not allow; the message is the rule's reason."""


@dataclass(frozen=True)
class AtMost:
    """The values of `factor` go up to the value of the setting `bound`, less `minus`.

    ``AtMost("model.lc_depth", "model.depth")`` keeps lateral context to the levels that there are.
    """

    factor: str
    bound: str
    minus: float = 0

    @property
    def reason(self) -> str:
        """The rule in words."""
        return f"{self.factor} is at most {self.bound}" + (f" - {self.minus:g}" if self.minus else "")

    def limit(self, lookup: Lookup) -> float:
        """Return the largest value that the factor may have."""
        bound = lookup(self.bound)
        if not isinstance(bound, int | float):
            raise ConfigError(f"{self}: {self.bound} = {bound!r} is no number to compare with; name another setting")
        return bound - self.minus

    def describe(self) -> dict[str, Any]:
        """Return the condition as JSON-able data."""
        return {"kind": "AtMost", **vars(self)}


@dataclass(frozen=True)
class Only:
    """`factor` varies only where other factors have the values of `where`.

    Elsewhere it has its value in base, or its default; combinations that thereby coincide are one.
    ``Only("objective.free_bits", where={"model.architecture": ("hvae", "hae")})``
    """

    factor: str
    where: Mapping[str, Setting]

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", MappingProxyType(dict(self.where)))

    def holds(self, lookup: Lookup) -> bool:
        """Say whether the factor varies."""
        return all(_is_one_of(lookup(name), wanted) for name, wanted in self.where.items())

    def describe(self) -> dict[str, Any]:
        """Return the condition as JSON-able data."""
        return {"kind": "Only", "factor": self.factor, "where": dict(self.where)}


Condition = AtMost | Only


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """What any Python function allows.

    Attributes
    ----------
    names
        Settings whose values the function takes, in this order. With an evaluation setting
        (``tiling.…``) among them the constraint filters evaluations, else trainings.
    allows
        Says whether a combination may be run.
    reason
        Why not, in words; shown by `usplit plan` beside the number of combinations left out.
    """

    names: tuple[str, ...]
    allows: Callable[..., bool]
    reason: str

    def __post_init__(self) -> None:
        names: object = self.names
        if not isinstance(names, tuple) or not names:
            raise ConfigError(
                f"Constraint(names={self.names!r}): give a tuple of setting names, such as ('model.depth',)"
            )
        if not self.reason.strip():
            raise ConfigError(f"Constraint(names={self.names!r}) has no reason: say in words why it leaves runs out")

    @property
    def is_of_evaluations(self) -> bool:
        """Whether it filters evaluations rather than trainings."""
        return any(is_evaluation_setting(name) for name in self.names)

    def holds(self, lookup: Lookup) -> bool:
        """Say whether a combination is allowed.

        Raises
        ------
        ConfigError
            If the function fails.
        """
        values = [lookup(name) for name in self.names]
        try:
            return bool(self.allows(*values))
        except Exception as error:  # a user's function may raise anything
            given = ", ".join(f"{name} = {value!r}" for name, value in zip(self.names, values, strict=True))
            raise ConfigError(
                f"the constraint {self.reason!r} fails with {type(error).__name__}: {error}, given {given}; "
                "correct its function"
            ) from error

    def describe(self) -> dict[str, Any]:
        """Return the constraint as JSON-able data."""
        return {"names": list(self.names), "reason": self.reason}


def value_of(name: str, settings: Mapping[str, Setting]) -> Setting:
    """Return the value of setting `name` in the run of `settings`: stated, by default, or by the network's row."""
    if name in settings:
        return settings[name]
    if name == "model.structure_channels":
        channels = value_of("data.channels", settings)
        return len(channels) if isinstance(channels, tuple) else DEFAULT_VALUES[name]
    if name in DEFAULT_VALUES:
        return DEFAULT_VALUES[name]
    row = DEFAULTS.get((str(value_of("model.architecture", settings)), str(value_of("model.variant", settings))), {})
    return row.get(name.partition(".")[2])


def is_evaluation_setting(name: str) -> bool:
    """Say whether a setting needs no new training."""
    return name.partition(".")[0] in EVALUATION_SECTIONS


def _is_one_of(value: Setting, wanted: Setting) -> bool:
    return value == wanted or (isinstance(wanted, tuple) and value in wanted)


def shown(settings: Mapping[str, Setting]) -> str:
    """Return settings as words for a message."""
    return ", ".join(f"{name} = {value!r}" for name, value in settings.items())
