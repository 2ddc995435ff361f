"""What a user did wrong: one message with the value, the rule and the remedy.

Commands print such an error without a traceback and end with exit code 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A mistake of the user's; the message names the value, the rule and the remedy."""


class ConfigError(UserError):
    """A setting that no run can have."""


class DataError(UserError):
    """Images that cannot be read or used."""


class CheckpointError(UserError):
    """A model file that cannot be read or does not fit."""


class OutputError(UserError):
    """A place that cannot be written to."""


def nearest(name: str, legal: Iterable[str]) -> str:
    """Return a remedy that names the legal name closest to `name`, or all of them."""
    names = list(legal)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(names)}."
