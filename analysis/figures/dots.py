"""Means with intervals beside the names of what was measured, from top to bottom: what several figures share."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.statistics import FEW, Summary
from analysis.style import colour, draw_seeds, marker

_WIDE = 30  # signs of a line of a name that leave most of a column of a page to the axes
_NEIGHBOUR = 0.75  # of the height of a row that its series share


class Dot(NamedTuple):
    """One mean: the row and the series that it belongs to, its summary, and the seeds themselves."""

    row: str
    series: str
    values: tuple[float, ...]
    summary: Summary


def rows_of(dots: Sequence[Dot]) -> list[str]:
    """Return the rows in the order in which they come."""
    return list(dict.fromkeys(dot.row for dot in dots))


def series_of(dots: Sequence[Dot]) -> list[str]:
    """Return the series in the order in which they come."""
    return list(dict.fromkeys(dot.series for dot in dots))


def draw_dots(ax: Axes, dots: Sequence[Dot], *, scale: float = 1.0) -> None:
    """Draw a line of means, intervals and seeds a row, series below each other within it; values over `scale`."""
    rows, series = rows_of(dots), series_of(dots)
    step = _NEIGHBOUR / max(len(series), 1)
    for index, name in enumerate(series):
        own = [dot for dot in dots if dot.series == name]
        places = [rows.index(dot.row) + (index - (len(series) - 1) / 2) * step for dot in own]
        _draw_series(ax, own, places, index, scale)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))


def _draw_series(ax: Axes, dots: Sequence[Dot], places: Sequence[float], index: int, scale: float) -> None:
    spread = [(dot, at) for dot, at in zip(dots, places, strict=True) if dot.summary.interval is not None]
    edges = np.array([dot.summary.interval for dot, _ in spread]).reshape(-1, 2) / scale
    seeds = [(value / scale, at) for dot, at in spread for value in dot.values]
    ax.hlines([at for _, at in spread], edges[:, 0], edges[:, 1], color=colour(index), linewidth=0.9)
    draw_seeds(ax, [x for x, _ in seeds], [y for _, y in seeds], index)
    ax.plot(
        [dot.summary.mean / scale for dot in dots], places, linestyle="none", marker=marker(index), color=colour(index),
        markeredgecolor="white", markeredgewidth=0.5, label=dots[0].series or None, zorder=4,
    )  # fmt: skip


def wrap_names(text: str) -> str:
    """Return names in lines so short that they leave room for the axes; no name is broken."""
    lines = (textwrap.wrap(line, _WIDE, break_long_words=False, break_on_hyphens=False) for line in text.splitlines())
    return "\n".join(part for line in lines for part in line)


def height_mm(dots: Sequence[Dot], *, legend: bool) -> float:
    """Return how tall a figure of one panel must be."""
    rows, series = rows_of(dots), series_of(dots)
    lines = sum(row.count("\n") + 1 for row in rows)
    return 16 + max(4.5 * lines, 4.0 * len(rows) * len(series)) + (4.0 * len(series) if legend else 0) + 4


def what_dots_mean(dots: Sequence[Dot]) -> str:
    """Return the sentences of a caption about marks and bars, with n."""
    numbers = {dot.summary.n for dot in dots}
    low, high = min(numbers), max(numbers)
    n = f"n = {low if low == high else f'{low} to {high}'} seed{'' if high == 1 else 's'} a mark"
    text = f"Marks: mean over seeds; dots: single seeds; {n}."
    if high == 1:
        return f"{text} One seed gives no interval."
    text += " Bars: 95 % bootstrap interval of the mean"
    return text + (f"; with fewer than {FEW} seeds it is narrower than its name says." if low < FEW else ".")
