"""How much a study may use before it stops by itself; the same command goes on with a larger budget."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

from usplit_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits of a study; None = no limit.

    Attributes
    ----------
    wall_hours
        Time of one launch.
    device_hours
        Time that trials have run, each times the cores or GPUs that it occupies; over all launches.
    steps
        Optimisation steps of all trials together, over all launches.
    trainings
        Trials that are begun, over all launches.
    """

    wall_hours: float | None = None
    device_hours: float | None = None
    steps: int | None = None
    trainings: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not value > 0:  # nor NaN
                raise ConfigError(f"budget.{name} = {value}: give a number above 0, or leave it out for no limit")


class Spent(NamedTuple):
    """What a study has used, in the units of `Budget`."""

    wall_hours: float = 0.0
    device_hours: float = 0.0
    steps: int = 0
    trainings: int = 0


def exhausted(budget: Budget, spent: Spent) -> str:
    """Return which limit is reached, as words for the user; empty if none is."""
    for name, limit in asdict(budget).items():
        used = getattr(spent, name)
        if limit is not None and used >= limit:
            return f"budget.{name} = {limit:g} is used ({used:.3g})"
    return ""
