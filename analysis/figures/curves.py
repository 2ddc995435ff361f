"""A metric against the levels of one factor, one curve a series: what several figures share."""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.records import Settings, StudyRecord
from analysis.selection import axis_label, format_value, is_number, is_sampled, levels, spans_decades
from analysis.statistics import FEW, Group, Summary, group
from analysis.style import FAINT, PALETTE, colour, draw_seeds, mark_levels, marker
from analysis.tasks import describe_cell
from usplit_core.settings import Setting
from usplit_core.vocabulary import Metric

#: More curves than colours cannot be told apart.
MOST_CURVES = len(PALETTE)
_LABEL_SIGNS = 48  # of a line in a legend that fits into one column of a page


class CurvePoint(NamedTuple):
    """One level of the factor: the summary over seeds, and the seeds themselves."""

    level: Setting
    seeds: tuple[Setting, ...]
    values: tuple[float, ...]
    summary: Summary


class Curve(NamedTuple):
    """One series: the levels of the other factors, in words, and its points in the order of the axis."""

    label: str
    points: tuple[CurvePoint, ...]


class Axis(NamedTuple):
    """The factor of the horizontal axis, and all of its levels; `sampled` where they were drawn from a range."""

    factor: str
    label: str
    levels: tuple[Setting, ...]
    sampled: bool


def axis_of(record: StudyRecord, factor: str) -> Axis:
    """Return the horizontal axis that shows `factor`."""
    return Axis(factor, axis_label(factor), levels(record, factor), is_sampled(record, factor))


def curves(
    record: StudyRecord, metric: Metric, factor: str, series: Sequence[str], *, where: Settings | None = None
) -> tuple[Curve, ...]:
    """Return one curve over `factor` for each combination of the levels of the factors in `series`.

    Factors whose values were drawn from a range make no curves of their own: each value would be one.
    """
    names = [name for name in series if name != factor and not is_sampled(record, name)]
    by_series: dict[tuple[Setting, ...], list[Group]] = {}
    for item in group(record, metric.key, [*names, factor], where=where):
        by_series.setdefault(tuple(item.levels[name] for name in names), []).append(item)
    return tuple(
        Curve(
            describe_cell(record, dict(zip(names, key, strict=True))),
            tuple(CurvePoint(item.levels[factor], item.seeds, item.values, item.summary) for item in groups),
        )
        for key, groups in by_series.items()
    )


def keep_best(panels: Sequence[Sequence[Curve]], metric: Metric) -> tuple[str, ...]:
    """Return the labels of at most as many curves as there are colours: those that reach the best mean in any panel."""
    sign = -1 if metric.better == "lower" else 1
    reach: dict[str, float] = {}
    for curve in (curve for panel in panels for curve in panel):
        own = max(sign * point.summary.mean for point in curve.points)
        reach[curve.label] = max(own, reach.get(curve.label, own))
    return tuple(sorted(reach, key=lambda label: reach[label], reverse=True)[:MOST_CURVES])


def legend_columns(labels: Sequence[str], width_mm: float) -> int:
    """Return how many columns of a legend fit into a figure of the given width."""
    mm_per_sign, handle_mm = 1.25, 10.0
    longest = max(len(line) for text in labels for line in text.splitlines())
    return max(1, int(width_mm // (longest * mm_per_sign + handle_mm)))


def legend_height_mm(found: Sequence[Curve], width_mm: float) -> float:
    """Return how tall the legend of some curves is below a figure of the given width."""
    labels = [curve_label(curve) for curve in found]
    mm_per_line, columns = 3.3, legend_columns(labels, width_mm)
    return mm_per_line * sum(label.count("\n") + 1 for label in labels) / columns + mm_per_line


def curve_label(curve: Curve) -> str:
    """Return the line of the legend: what the curve is, and how many seeds its points have."""
    numbers = {point.summary.n for point in curve.points}
    span = f"{min(numbers)}–{max(numbers)}" if len(numbers) > 1 else f"{min(numbers)}"
    return textwrap.fill(f"{curve.label or 'mean over seeds'} (n\u00a0=\u00a0{span})", _LABEL_SIGNS)


def draw_curves(ax: Axes, axis: Axis, found: Sequence[Curve], colours: Sequence[int] | None = None) -> None:
    """Draw mean, interval and seeds of every curve; several curves stand side by side within a level.

    `colours` are the numbers of their colours and marks, by default in the order of the curves.
    """
    positions = _positions(axis)
    span = max(positions) - min(positions) or 1.0
    # Curves that share a level would hide each other's bars: each is moved aside by a fraction of the axis.
    aside = (0.012 if _is_numeric(axis) else 0.03) * span
    for index, curve in enumerate(found):
        shift = (index - (len(found) - 1) / 2) * aside
        places = [positions[axis.levels.index(point.level)] + shift for point in curve.points]
        _draw_curve(
            ax,
            curve,
            places,
            index if colours is None else colours[index],
            joined=_is_numeric(axis) and not axis.sampled,
        )
    ax.margins(y=0.1)
    margin = max(0.08 * span, (len(found) + 1) / 2 * aside)
    ax.set_xlim(min(positions) - margin, max(positions) + margin)
    if axis.sampled and _is_numeric(axis):
        _mark_range(ax, axis, positions)
    else:
        mark_levels(ax, positions, [_tick(axis, level) for level in axis.levels])
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    ax.set_xlabel(axis.label)


def positions_of(axis: Axis, wanted: Sequence[Setting]) -> list[float]:
    """Return where on the axis the levels stand."""
    places = _positions(axis)
    return [places[axis.levels.index(level)] for level in wanted]


def counts(found: Sequence[Curve]) -> str:
    """Return the number of seeds of the points in words, such as ``n = 2 to 3 seeds``."""
    numbers = {point.summary.n for curve in found for point in curve.points}
    low, high = min(numbers), max(numbers)
    span = str(low) if low == high else f"{low} to {high}"
    return f"n = {span} seed{'' if high == 1 else 's'} a point"


def what_bars_mean(found: Sequence[Curve]) -> str:
    """Return the sentences of a caption about lines, dots and bars."""
    numbers = {point.summary.n for curve in found for point in curve.points}
    text = f"Lines: mean over seeds; dots: single seeds; {counts(found)}."
    if max(numbers) == 1:
        return f"{text} One seed gives no interval."
    text += " Bars: 95 % bootstrap interval of the mean"
    text += f"; with fewer than {FEW} seeds it is narrower than its name says." if min(numbers) < FEW else "."
    return text


def what_is_missing(left_out: int, unfinished: int) -> str:
    """Return the sentences of a caption about what it does not show; they begin with a space."""
    curves_left = f"{left_out} curves with the lowest means are" if left_out > 1 else "curve with the lowest mean is"
    text = f" The {curves_left} left out." if left_out else ""
    return f"{text} Not shown: {unfinished} unfinished trial{'' if unfinished == 1 else 's'}." if unfinished else text


def _draw_curve(ax: Axes, curve: Curve, positions: Sequence[float], index: int, *, joined: bool) -> None:
    means = [point.summary.mean for point in curve.points]
    bars = [(place, p.summary.interval) for place, p in zip(positions, curve.points, strict=True) if p.summary.interval]
    ax.vlines([x for x, _ in bars], [bar[0] for _, bar in bars], [bar[1] for _, bar in bars],
              color=colour(index), linewidth=0.9, zorder=2)  # fmt: skip
    seeds = [
        (place, value)
        for place, point in zip(positions, curve.points, strict=True)
        for value in point.values
        if point.summary.interval is not None
    ]
    draw_seeds(ax, [x for x, _ in seeds], [y for _, y in seeds], index)
    label = curve_label(curve)
    # Levels that are names have no order: nothing joins them.
    ax.plot(
        positions, means, linestyle="-" if joined else "none", color=colour(index), marker=marker(index), label=label,
        markeredgecolor="white", markeredgewidth=0.5, zorder=4,
    )  # fmt: skip
    _mark_fewer(ax, curve, positions)


def _mark_fewer(ax: Axes, curve: Curve, positions: Sequence[float]) -> None:
    """Write n at points that have fewer seeds than the rest of their curve."""
    most = max(point.summary.n for point in curve.points)
    for position, point in zip(positions, curve.points, strict=True):
        if point.summary.n < most:
            ax.annotate(
                f"n={point.summary.n}", (position, min(point.values)), (0, -8), textcoords="offset points",
                ha="center", fontsize=5.5, color=FAINT,
            )  # fmt: skip


def _positions(axis: Axis) -> list[float]:
    if not _is_numeric(axis):
        return [float(index) for index in range(len(axis.levels))]
    numbers = [float(level) for level in axis.levels if isinstance(level, int | float)]
    return [math.log10(number) for number in numbers] if _is_logarithmic(axis) else numbers


def _is_logarithmic(axis: Axis) -> bool:
    numbers = [float(level) for level in axis.levels if isinstance(level, int | float)]
    return _is_numeric(axis) and spans_decades(numbers)


def _mark_range(ax: Axes, axis: Axis, positions: Sequence[float]) -> None:
    """Put a few ticks over the range of a factor that has a value of its own for every trial."""
    low, high = min(positions), max(positions)
    ticks = [low + (high - low) * part / 4 for part in range(5)]
    mark_levels(ax, ticks, [f"{10**tick if _is_logarithmic(axis) else tick:.2g}" for tick in ticks])


def _is_numeric(axis: Axis) -> bool:
    return all(is_number(level) for level in axis.levels)


def _tick(axis: Axis, level: Setting) -> str:
    return f"{level:g}" if isinstance(level, int | float) and is_number(level) else format_value(axis.factor, level)
