"""A score against the levels of factors, one panel a factor or a tiling: what most figures of a study are."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.curves import (
    Axis,
    Curve,
    axis_of,
    curve_label,
    curves,
    draw_curves,
    keep_best,
    legend_columns,
    legend_height_mm,
    what_bars_mean,
    what_is_missing,
)
from analysis.records import MissingRuns, NotVaried, Settings, StudyRecord
from analysis.selection import (
    describe_tiling,
    evaluation_factors,
    headline,
    how_to_add,
    how_to_run,
    metric_label,
    reference_tiling,
    train_factors,
)
from analysis.style import COLUMN_MM, PAGE_MM
from usplit_core.config import EVALUATION_SECTIONS
from usplit_core.vocabulary import Metric

_COLUMNS = 2
_PANEL_MM = 60.0
_AXIS_MM = 14  # of ticks and label beside a panel


class Wanted(NamedTuple):
    """A panel to be made: its horizontal axis, and the settings that its runs share."""

    factor: str
    where: Settings
    title: str = ""


class Panel(NamedTuple):
    """One panel; its curves are the combinations of the factors that are not on its axis."""

    title: str
    axis: Axis
    curves: tuple[Curve, ...]


class Panels(NamedTuple):
    """What such a figure shows; `left_out` counts curves that found no colour, `unfinished` trials without a result.

    `tiling` says under which tiling all of it was scored, in words; it is empty where that varies.
    """

    metric: Metric
    tiling: str
    panels: tuple[Panel, ...]
    left_out: int
    unfinished: int


def scores_by(record: StudyRecord, factors: Sequence[str]) -> Panels:
    """Return a panel for each of the factors, all at one tiling, a curve a combination of the train factors.

    Raises
    ------
    NotVaried
        If one of them has fewer than two levels in the store.
    MissingRuns
        If nothing was evaluated.
    """
    for factor in factors:
        require_levels(record, factor)
    tiling = {name: value for name, value in reference_tiling(record).items() if name not in factors}
    wanted = [Wanted(factor, tiling) for factor in factors]
    return panels_of(record, headline(record), wanted, train_factors(record), tiling=describe_tiling(tiling))


def require_levels(record: StudyRecord, factor: str) -> None:
    """Raise `NotVaried`, with what to do, unless the store has two levels of a factor."""
    is_tiling = factor.partition(".")[0] in EVALUATION_SECTIONS
    if factor not in (evaluation_factors(record) if is_tiling else train_factors(record)):
        raise NotVaried(how_to_add(record, factor, kind="evaluation" if is_tiling else "train"))


def panels_of(
    record: StudyRecord, metric: Metric, wanted: Sequence[Wanted], series: Sequence[str], *, tiling: str = ""
) -> Panels:
    """Return the panels that are wanted, a curve a combination of the factors in `series`.

    Raises
    ------
    MissingRuns
        If no finished trial has a value for any of them.
    """
    found = [curves(record, metric, item.factor, series, where=item.where) for item in wanted]
    panels, left_out = [], 0
    for item, own in zip(wanted, found, strict=True):
        # A colour stands for the same curve in all panels over one factor.
        alike = [every for other, every in zip(wanted, found, strict=True) if other.factor == item.factor]
        shown = keep_best(alike, metric)
        kept = tuple(curve for curve in own if curve.label in shown)
        left_out = max(left_out, len(own) - len(kept))
        if kept:
            panels.append(Panel(item.title, _axis_of(record, item.factor, kept), kept))
    if not panels:
        at = f" with {tiling}" if tiling else ""
        raise MissingRuns(f"No finished trial has been evaluated{at}. {how_to_run(record)}")
    return Panels(metric, tiling, tuple(panels), left_out, len(record.trials) - len(record.finished))


def draw(data: Panels, figure: Figure) -> None:
    """Draw the panels in rows of two, with one vertical axis; one legend where all show the same curves."""
    axes = draw_panels(data, figure)
    if _is_shared(data):
        handles, names = axes[0].get_legend_handles_labels()
        columns = legend_columns(names, size_mm(data)[0])
        figure.legend(handles, names, loc="outside lower center", ncols=columns)
        return
    for ax in axes:
        columns = legend_columns(ax.get_legend_handles_labels()[1], COLUMN_MM - _AXIS_MM)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=columns)


def draw_panels(data: Panels, figure: Figure) -> list[Axes]:
    """Draw the panels without a legend; return their axes."""
    columns = min(len(data.panels), _COLUMNS)
    grid = figure.subplots(_rows(data), columns, sharey=True, squeeze=False)
    axes = list(grid.ravel())
    for ax, panel in zip(axes, data.panels, strict=False):
        alike = [every for every in data.panels if every.axis.factor == panel.axis.factor]
        known = list(dict.fromkeys(curve.label for every in alike for curve in every.curves))
        draw_curves(ax, panel.axis, panel.curves, [known.index(curve.label) for curve in panel.curves])
        ax.set_title(panel.title)
    for ax in axes[len(data.panels) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel(metric_label(data.metric))
    return axes[: len(data.panels)]


def caption(data: Panels) -> str:
    """Say what is seen, under which tiling, with n."""
    shown = " and ".join(dict.fromkeys(panel.axis.label for panel in data.panels))
    at = f", with {data.tiling}" if data.tiling else ""
    return f"{metric_label(data.metric)} on the test frames against {shown}{at}. {how_drawn(data)}"


def how_drawn(data: Panels) -> str:
    """Return the sentences of a caption about lines, dots and bars, and about what is not shown."""
    every = [curve for panel in data.panels for curve in panel.curves]
    return what_bars_mean(every) + what_is_missing(data.left_out, data.unfinished)


def size_mm(data: Panels) -> tuple[float, float]:
    """Return width and height: one column for one panel, two for more."""
    width_mm = COLUMN_MM if len(data.panels) == 1 else PAGE_MM
    legend_mm = width_mm if _is_shared(data) else COLUMN_MM - _AXIS_MM
    legend = max(legend_height_mm(panel.curves, legend_mm) for panel in data.panels)
    return width_mm, _PANEL_MM * _rows(data) + legend * (1 if _is_shared(data) else _rows(data))


def _rows(data: Panels) -> int:
    return -(-len(data.panels) // _COLUMNS)


def _is_shared(data: Panels) -> bool:
    """Say whether all panels would have the same legend."""
    return len({tuple(curve_label(curve) for curve in panel.curves) for panel in data.panels}) == 1


def _axis_of(record: StudyRecord, factor: str, kept: Sequence[Curve]) -> Axis:
    """Return the axis with the levels that this panel shows."""
    axis = axis_of(record, factor)
    shown = {point.level for curve in kept for point in curve.points}
    return axis._replace(levels=tuple(level for level in axis.levels if level in shown))
