"""What a check says: fine, a warning, or a problem, each with what to do about it."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "problem"]

_GIBIBYTE = 1024**3
#: Below the first a store is refused, below the second it is warned of.
_LEAST_FREE_BYTES = 1 * _GIBIBYTE
_SPARSE_FREE_BYTES = 10 * _GIBIBYTE


class Finding(NamedTuple):
    """One line of a report: what was looked at, what was seen, what to do about it."""

    level: Level
    what: str
    seen: str
    remedy: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the gravest level among findings."""
    levels = {finding.level for finding in findings}
    return "problem" if "problem" in levels else "warning" if "warning" in levels else "ok"


def free_space(what: str, free_bytes: int) -> Finding:
    """Judge the free space of a store."""
    seen = f"{free_bytes / _GIBIBYTE:.1f} GiB free"
    remedy = "make room: a trial keeps two sets of weights and the state of its optimiser"
    if free_bytes < _LEAST_FREE_BYTES:
        return Finding("problem", what, seen, remedy)
    return Finding("warning", what, seen, remedy) if free_bytes < _SPARSE_FREE_BYTES else Finding("ok", what, seen)
