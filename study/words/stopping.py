"""Early stopping of trials that fall behind: rules as words; `study.engine.scheduling` hands them to Ray.

All compare the validation metric that training itself watches, at equal epochs. A trial that is
stopped is pruned: it keeps its best checkpoint, is not evaluated, and never counts as finished.
"""

from dataclasses import dataclass
from typing import Any

from usplit_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ASHA:
    """Asynchronous successive halving (Li et al., MLSys 2020).

    Attributes
    ----------
    grace_epochs
        No trial is stopped before.
    reduction
        Of the trials that reach a rung, one in so many goes on; rungs lie at
        ``grace_epochs * reduction**k`` epochs.
    """

    grace_epochs: int = 1
    reduction: float = 3

    def __post_init__(self) -> None:
        _at_least(1, "stopping.grace_epochs", self.grace_epochs)
        if self.reduction <= 1:
            raise ConfigError(f"stopping.reduction = {self.reduction}: one in so many goes on; give more than 1")


@dataclass(frozen=True, kw_only=True)
class MedianStopping:
    """Stop a trial whose best value lies below the median of the others' running means (Golovin et al., KDD 2017).

    Attributes
    ----------
    grace_epochs
        No trial is stopped before.
    min_trials
        As many others must have got that far.
    """

    grace_epochs: int = 1
    min_trials: int = 3

    def __post_init__(self) -> None:
        _at_least(1, "stopping.grace_epochs", self.grace_epochs)
        _at_least(1, "stopping.min_trials", self.min_trials)


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """Hyperband (Li et al., JMLR 2018) in its asynchronous form: several ASHA brackets with different grace.

    Attributes
    ----------
    brackets
        A trial is put into one of so many brackets; the grace of each is `reduction` times that of the one before.
    reduction
        Of the trials that reach a rung, one in so many goes on.
    """

    brackets: int = 3
    reduction: float = 3

    def __post_init__(self) -> None:
        _at_least(1, "stopping.brackets", self.brackets)
        if self.reduction <= 1:
            raise ConfigError(f"stopping.reduction = {self.reduction}: one in so many goes on; give more than 1")


Stopping = ASHA | MedianStopping | Hyperband


def describe_stopping(stopping: Stopping | None) -> dict[str, Any] | None:
    """Return a rule as JSON-able data."""
    return None if stopping is None else {"rule": type(stopping).__name__, **vars(stopping)}


def _at_least(limit: int, name: str, value: float) -> None:
    if not (isinstance(value, int) and value >= limit):
        raise ConfigError(f"{name} = {value}: must be a whole number of at least {limit}")
