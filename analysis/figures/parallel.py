"""Parallel coordinates: a line a combination of levels, coloured by its score."""

from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.dots import wrap_names
from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import (
    axis_label,
    evaluation_factors,
    format_value,
    headline,
    how_to_run,
    is_number,
    levels,
    metric_label,
    spans_decades,
)
from analysis.statistics import group
from analysis.style import PAGE_MM
from analysis.tasks import short_value, told_factors
from usplit_core.settings import Setting
from usplit_core.vocabulary import Metric

TITLE = "All runs at a glance"
_MOST_TICKS = 6
_FEWEST_FACTORS = 2
_MOST_LINES = 400


class Coordinate(NamedTuple):
    """One axis: its label, and the places from 0 to 1 of its ticks."""

    label: str
    ticks: tuple[tuple[float, str], ...]


class Parallel(NamedTuple):
    """What the figure shows: places (lines, axes) from 0 to 1, the last axis is the score.

    Lines are some of all `combinations` of levels, means over the least to the greatest number of `seeds`.
    """

    metric: Metric
    coordinates: tuple[Coordinate, ...]
    places: NDArray[np.float64]
    scores: NDArray[np.float64]
    combinations: int
    seeds: tuple[int, int]


def data(record: StudyRecord) -> Parallel:
    """Return every combination of levels with a score as a line through its factors.

    Raises
    ------
    NotVaried
        If fewer than two factors vary.
    MissingRuns
        If nothing has a score.
    """
    metric = headline(record)
    names = [*told_factors(record), *evaluation_factors(record)]
    if len(names) < _FEWEST_FACTORS:
        raise NotVaried("Parallel coordinates need two factors that vary.")
    groups = sorted(group(record, metric.key, names), key=lambda item: item.summary.mean)
    if not groups:
        raise MissingRuns(f"No finished run has {metric.label}. {how_to_run(record)}")
    rows = [groups[index] for index in np.unique(np.linspace(0, len(groups) - 1, _MOST_LINES).round().astype(int))]
    scores = np.array([row.summary.mean for row in rows])
    seeds = [row.summary.n for row in groups]
    coordinates, columns = [], []
    for name in names:
        place, ticks = _axis(record, name)
        coordinates.append(Coordinate(axis_label(name), ticks))
        columns.append([place[row.levels[name]] for row in rows])
    low, high = float(scores.min()), float(scores.max())
    span = (high - low) or 1.0
    ticks = tuple((part / 4, f"{low + span * part / 4:.2f}") for part in range(5))
    coordinates.append(Coordinate(metric_label(metric), ticks))
    return Parallel(metric, tuple(coordinates), np.column_stack([*columns, (scores - low) / span]), scores, len(groups),
                    (min(seeds), max(seeds)))  # fmt: skip


def draw(data: Parallel, figure: Figure) -> None:
    """Draw the best runs last, so that they lie on top."""
    ax = figure.subplots()
    sign = -1 if data.metric.better == "lower" else 1
    order = np.argsort(sign * data.scores)
    count = len(data.coordinates)
    lines = np.stack([np.broadcast_to(np.arange(count), data.places.shape), _spread(data.places)], axis=-1)[order]
    norm = Normalize(float(data.scores.min()), float(data.scores.max()))
    colours = colormaps["viridis"](norm(data.scores[order]))
    many = len(lines)
    ax.add_collection(LineCollection(list(lines), colors=colours, linewidths=0.9 if many < 200 else 0.4, alpha=0.75))
    for index, coordinate in enumerate(data.coordinates):
        _draw_axis(ax, index, coordinate, last=index == count - 1)
    ax.set(xlim=(-0.15, count - 1 + 0.15), ylim=(-0.06, 1.06), yticks=[])
    ax.set_xticks(range(count), [coordinate.label.replace(" (", "\n(") for coordinate in data.coordinates])
    ax.tick_params(axis="x", length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=ax, pad=0.06, aspect=30)
    bar.set_label(metric_label(data.metric))


def caption(data: Parallel) -> str:
    """Say what is seen."""
    low, high = data.seeds
    n = f"n = {low if low == high else f'{low} to {high}'} seed{'' if high == 1 else 's'} a line"
    shown = f"{len(data.scores)} of {data.combinations}" if len(data.scores) < data.combinations else data.combinations
    return (
        f"Each combination of levels as a line ({shown} combinations, evenly from the worst to the best), coloured by "
        f"{metric_label(data.metric)} on the test frames, mean over seeds ({n}); the best lie on top."
    )


def size_mm(data: Parallel) -> tuple[float, float]:
    """Return width and height: the width of a page."""
    return PAGE_MM, 76.0


def _axis(record: StudyRecord, name: str) -> tuple[dict[Setting, float], tuple[tuple[float, str], ...]]:
    """Return the place of every level, and the ticks: numbers by size, names evenly."""
    known = levels(record, name)
    numbers = [float(level) for level in known if isinstance(level, int | float) and is_number(level)]
    if len(numbers) == len(known):
        values = np.log10(numbers) if spans_decades(numbers) else np.array(numbers)
        placed = (values - values.min()) / (np.ptp(values) or 1.0)
    else:
        placed = np.linspace(0, 1, len(known)) if len(known) > 1 else np.array([0.5])
    place = dict(zip(known, placed.tolist(), strict=True))
    if len(known) <= _MOST_TICKS:
        return place, tuple((place[level], _text(record, name, level)) for level in known)
    shown = np.unique(np.linspace(0, len(known) - 1, 5).round().astype(int)).tolist()
    return place, tuple((place[known[index]], _text(record, name, known[index], digits=3)) for index in shown)


def _text(record: StudyRecord, name: str, level: Setting, digits: int | None = None) -> str:
    if isinstance(level, float) and digits is not None:
        return f"{level:.{digits}g}"
    return wrap_names(format_value(name, short_value(record, name, level)))


def _spread(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places in which the runs of one level lie side by side by their score, and not on top of each other."""
    spread = places.copy()
    for column in range(places.shape[1] - 1):
        distinct = len(np.unique(places[:, column]))
        if distinct < len(places):
            spread[:, column] += (places[:, -1] - 0.5) * min(0.08, 0.5 / distinct)
    return spread


def _draw_axis(ax: Axes, index: int, coordinate: Coordinate, *, last: bool) -> None:
    ax.axvline(index, color="#555555", linewidth=0.6, zorder=3)
    for place, text in coordinate.ticks:
        ax.text(
            index + (0.03 if last else -0.03), place, text, ha="left" if last else "right", va="center", fontsize=6,
            zorder=5, bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
