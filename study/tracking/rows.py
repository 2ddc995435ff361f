"""A row: what was measured at one step."""

from collections.abc import Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """The metrics of one step and when they were measured, in ms since 1970."""

    step: int
    time_ms: int
    metrics: Mapping[str, float]
