"""Score on the test frames against the padding of the tiles, inner beside outer tiling."""

from typing import NamedTuple

from matplotlib.figure import Figure

from analysis.figures.curves import (
    Axis,
    Curve,
    axis_of,
    curves,
    draw_curves,
    keep_best,
    legend_columns,
    legend_height_mm,
    what_bars_mean,
    what_is_missing,
)
from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import (
    evaluation_factors,
    headline,
    how_to_add,
    how_to_run,
    levels,
    metric_label,
    require_evaluations,
    train_factors,
)
from analysis.style import COLUMN_MM, PAGE_MM
from usplit_core.vocabulary import Metric

TITLE = "Tile padding"
_FACTOR = "tiling.padding_px"


class Panel(NamedTuple):
    """One way of tiling."""

    mode: str
    axis: Axis
    curves: tuple[Curve, ...]


class PaddingCurves(NamedTuple):
    """What the figure shows; `left_out` counts curves that found no colour, `unfinished` trials without a result."""

    metric: Metric
    panels: tuple[Panel, ...]
    left_out: int
    unfinished: int


def data(record: StudyRecord) -> PaddingCurves:
    """Return the scores by padding, a panel a tiling mode, a curve a combination of the other factors.

    Raises
    ------
    NotVaried
        If fewer than two paddings were evaluated.
    MissingRuns
        If nothing was evaluated.
    """
    return curves_of(record, headline(record))


def curves_of(record: StudyRecord, metric: Metric) -> PaddingCurves:
    """Return the values of a metric by padding; see `data`."""
    require_evaluations(record)
    if _FACTOR not in evaluation_factors(record):
        raise NotVaried(how_to_add(record, _FACTOR, kind="evaluation"))
    others = [name for name in evaluation_factors(record) if name not in (_FACTOR, "tiling.mode")]
    series = [*train_factors(record), *others]
    panels, left_out = [], 0
    for mode in levels(record, "tiling.mode"):
        found = curves(record, metric, _FACTOR, series, where={"tiling.mode": mode})
        kept = keep_best(found, metric)
        left_out = max(left_out, len(found) - len(kept))
        if kept:
            panels.append(Panel(str(mode), _axis_of_panel(record, kept), kept))
    if not panels:
        raise MissingRuns(f"No finished trial has been evaluated. {how_to_run(record)}")
    return PaddingCurves(metric, tuple(panels), left_out, len(record.trials) - len(record.finished))


def draw(data: PaddingCurves, figure: Figure) -> None:
    """Draw a panel a tiling mode, with one vertical axis."""
    axes = figure.subplots(1, len(data.panels), sharey=True, squeeze=False)[0]
    for ax, panel in zip(axes, data.panels, strict=True):
        draw_curves(ax, panel.axis, panel.curves)
        ax.set_title(f"{panel.mode} tiling")
    axes[0].set_ylabel(metric_label(data.metric))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, size_mm(data)[0]))


def caption(data: PaddingCurves) -> str:
    """Say what is seen."""
    every = [curve for panel in data.panels for curve in panel.curves]
    text = (
        f"{metric_label(data.metric)} on the test frames against the padding of a tile. Inner tiling keeps the centre "
        f"of each patch, outer tiling enlarges the input. {what_bars_mean(every)}"
    )
    return text + what_is_missing(data.left_out, data.unfinished)


def size_mm(data: PaddingCurves) -> tuple[float, float]:
    """Return width and height: one column for one tiling mode, two for more."""
    width_mm = COLUMN_MM if len(data.panels) == 1 else PAGE_MM
    return width_mm, 62.0 + max(legend_height_mm(panel.curves, width_mm) for panel in data.panels)


def _axis_of_panel(record: StudyRecord, kept: tuple[Curve, ...]) -> Axis:
    axis = axis_of(record, _FACTOR)
    shown = {point.level for curve in kept for point in curve.points}
    return axis._replace(levels=tuple(level for level in axis.levels if level in shown))
