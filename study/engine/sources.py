"""Where the next point of a search comes from, and what is told of it afterwards."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from usplit_core.settings import Setting

PointState = Literal["finished", "pruned", "failed"]


class Point(NamedTuple):
    """One combination of train-factor values, drawn but not yet answered; a conditional factor may be absent."""

    number: int
    settings: dict[str, Setting]


class PastPoint(NamedTuple):
    """A point and what became of it: one value an objective, or None where it has none to compare."""

    number: int
    settings: dict[str, Setting]
    state: PointState
    values: tuple[float, ...] | None


class Source(Protocol):
    """Draws points one after another, with an eye to the values of earlier ones."""

    @property
    def draws_all(self) -> bool:
        """Whether all points that can be drawn at a moment are to be, or one where a slot is free."""

    @property
    def left(self) -> int:
        """How many points are still to be drawn."""

    def next_point(self) -> Point | None:
        """Draw a point; None where there is none at this moment, because all are drawn or values are awaited."""

    def tell(self, number: int, values: tuple[float, ...] | None, state: PointState) -> None:
        """Take the values of a point; None where it has none."""


def best_points(past: Sequence[PastPoint], directions: Sequence[str]) -> list[PastPoint]:
    """Return the finished points that no other finished point beats: the Pareto front; with one objective, the best.

    Parameters
    ----------
    past
        Points with one value an objective.
    directions
        ``maximise`` or ``minimise``, one an objective.
    """
    signs = [-1.0 if direction == "maximise" else 1.0 for direction in directions]
    costs = [
        (point, tuple(sign * value for sign, value in zip(signs, point.values, strict=True)))
        for point in past
        if point.state == "finished" and point.values is not None and all(map(math.isfinite, point.values))
    ]
    return [point for point, cost in costs if not any(_beats(other, cost) for _, other in costs)]


def _beats(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    """Say whether `left` is nowhere larger than `right`, and somewhere smaller."""
    return left != right and all(a <= b for a, b in zip(left, right, strict=True))
