"""The points of the designs that cross levels."""

import itertools
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from study.words.designs import Crossed, Fractional, FullFactorial, OneFactor
from study.words.factors import Grid
from study.words.rules import LeftOut
from study.words.walk import Space, taken_from, walk
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting


class Layout(NamedTuple):
    """The points of a design, each once, and how many a rule left out, by its reason."""

    points: tuple[dict[str, Setting], ...]
    left_out: Mapping[str, int]


def cross(space: Space, design: Crossed) -> Layout:
    """Return the points of a design of grids.

    Raises
    ------
    ConfigError
        If the design cannot be built, or nothing is left of it.
    """
    points, left_out = [], Counter[str]()
    grids = {name: factor for name, factor in space.factors.items() if isinstance(factor, Grid)}
    for values in _combinations(grids, design):
        try:
            points.append(walk(space, taken_from(values, space)))
        except LeftOut as error:
            left_out[str(error)] += 1
    layout = Layout(tuple({tuple(point.items()): point for point in points}.values()), left_out)
    if not points:
        raise ConfigError(f"the rules leave nothing to train: {counted(left_out)}; loosen one of them")
    if isinstance(design, Fractional):
        _check_every_level(grids, layout, design)
    return layout


def _combinations(grids: Mapping[str, Grid], design: Crossed) -> Iterator[dict[str, Setting]]:
    if isinstance(design, FullFactorial):
        for levels in itertools.product(*grids.values()):
            yield dict(zip(grids, levels, strict=True))
    elif isinstance(design, OneFactor):
        base = {name: design.around.get(name, grid[0]) for name, grid in grids.items()}
        yield base
        for name, grid in grids.items():
            yield from ({**base, name: level} for level in grid if level != base[name])
    else:
        for row in _fraction([len(grid) for grid in grids.values()], design):
            yield {name: grid[index] for (name, grid), index in zip(grids.items(), row, strict=True)}


def _fraction(counts: Sequence[int], design: Fractional) -> list[list[int]]:
    """Return the level of each factor in each training."""
    erased = design.reduction.bit_length() - 1
    if set(counts) == {2} and design.reduction == 1 << erased:
        return _regular_fraction(len(counts), erased, design)
    from pydoe import gsd

    try:
        rows: list[list[int]] = gsd(list(counts), design.reduction).tolist()
    except ValueError as error:
        shown = " x ".join(map(str, counts))
        raise ConfigError(
            f"Fractional(fraction={design.fraction:g}) of {shown} levels cannot be built ({error}): "
            "use a larger fraction, or FullFactorial()"
        ) from None
    return rows


def _regular_fraction(factors: int, erased: int, design: Fractional) -> list[list[int]]:
    basic = factors - erased
    if factors > (1 << max(basic, 0)) - 1:
        raise ConfigError(
            f"Fractional(fraction={design.fraction:g}) of {factors} factors: {1 << max(basic, 0)} trainings cannot "
            "tell their main effects apart; use a larger fraction, or OneFactor()"
        )
    from pydoe import fracfact

    words = [1 << index for index in range(basic)] + _generators(basic, erased)
    letters = [
        "".join(letter for bit, letter in enumerate(string.ascii_lowercase) if word >> bit & 1) for word in words
    ]
    return [[int(sign > 0) for sign in row] for row in fracfact(" ".join(letters)).tolist()]


def _generators(basic: int, erased: int) -> list[int]:
    """Return the interactions of basic factors that further factors take the place of, for the highest resolution.

    A set of factors is a number with a bit for each. The products of the generators (the defining
    relation) are the sets that cannot be told from the mean; the resolution is the size of the smallest.
    """
    by_size = sorted(range(1 << basic), key=lambda word: (word.bit_count(), word))

    def extend(chosen: list[int], relation: list[int], resolution: int) -> list[int] | None:
        if len(chosen) == erased:
            return chosen
        new = 1 << (basic + len(chosen))
        for word in by_size[by_size.index(chosen[-1]) + 1 if chosen else 0 :]:
            products = [old ^ word ^ new for old in relation]
            if min(map(int.bit_count, products)) >= resolution:
                found = extend([*chosen, word], relation + products, resolution)
                if found is not None:
                    return found
        return None

    candidates = (extend([], [0], resolution) for resolution in range(basic + 1, 2, -1))
    return next(generators for generators in candidates if generators is not None)


def _check_every_level(grids: Mapping[str, Grid], layout: Layout, design: Fractional) -> None:
    """Refuse a fraction in which a level never occurs: nothing could be said about it."""
    for name, grid in grids.items():
        present = {point[name] for point in layout.points if name in point}
        missing = [level for level in grid if level not in present]
        if missing:
            raise ConfigError(
                f"Fractional(fraction={design.fraction:g}): {name} = {missing[0]!r} is in none of the "
                f"{len(layout.points)} trainings; use a larger fraction, or FullFactorial()"
            )


def counted(left_out: Mapping[str, int]) -> str:
    """Return what rules left out, as words for a message."""
    return "; ".join(f"{count} x {reason}" for reason, count in left_out.items())
