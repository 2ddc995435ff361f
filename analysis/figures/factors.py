"""Score on the test frames against each train factor of the study, one panel a factor."""

from collections.abc import Sequence
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
    what_bars_mean,
    what_is_missing,
)
from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import (
    describe_tiling,
    headline,
    how_to_add,
    how_to_run,
    is_sampled,
    metric_label,
    reference_tiling,
    train_factors,
)
from analysis.style import COLUMN_MM, PAGE_MM
from usplit_core.vocabulary import Metric

TITLE = "Other train factors"
_ELSEWHERE = ("model.lc_depth", "model.depth", "model.patch_px")
_COLUMNS = 2
_AXIS_MM = 14  # of ticks and label beside a panel


class Panel(NamedTuple):
    """One factor; its curves are the combinations of the other factors."""

    axis: Axis
    curves: tuple[Curve, ...]


class FactorPanels(NamedTuple):
    """What the figure shows, at one tiling; `left_out` counts curves that found no colour, `unfinished` trials."""

    metric: Metric
    tiling: str
    panels: tuple[Panel, ...]
    left_out: int
    unfinished: int


def data(record: StudyRecord) -> FactorPanels:
    """Return a panel for each train factor that varies, but those that have a figure of their own.

    Raises
    ------
    NotVaried
        If no such factor varies.
    """
    drawn = [name for name in train_factors(record) if is_sampled(record, name)]
    # Beside drawn values, a level stands for many trainings that differ in more than the seed: it is a curve only.
    names = drawn or [name for name in train_factors(record) if name not in _ELSEWHERE]
    if not names:
        raise NotVaried(how_to_add(record, f"a train factor other than {', '.join(_ELSEWHERE)}", kind="train"))
    return panels_of(record, names)


def panels_of(record: StudyRecord, names: Sequence[str]) -> FactorPanels:
    """Return a panel for each factor in `names`."""
    metric, tiling = headline(record), reference_tiling(record)
    panels, left_out = [], 0
    for name in names:
        found = curves(record, metric, name, train_factors(record), where=tiling)
        kept = keep_best(found, metric)
        left_out = max(left_out, len(found) - len(kept))
        if kept:
            panels.append(Panel(axis_of(record, name), kept))
    if not panels:
        raise MissingRuns(f"No finished trial has been evaluated with {describe_tiling(tiling)}. {how_to_run(record)}")
    return FactorPanels(
        metric, describe_tiling(tiling), tuple(panels), left_out, len(record.trials) - len(record.finished)
    )


def draw(data: FactorPanels, figure: Figure) -> None:
    """Draw the panels in rows of two, with one vertical axis."""
    columns = min(len(data.panels), _COLUMNS)
    rows = -(-len(data.panels) // columns)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for ax, panel in zip(axes, data.panels, strict=False):
        draw_curves(ax, panel.axis, panel.curves)
        columns = legend_columns(ax.get_legend_handles_labels()[1], COLUMN_MM - _AXIS_MM)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=columns)
    for ax in axes[len(data.panels) :]:
        ax.set_axis_off()
    for row in range(rows):
        axes[row * columns].set_ylabel(metric_label(data.metric))


def caption(data: FactorPanels) -> str:
    """Say what is seen."""
    every = [curve for panel in data.panels for curve in panel.curves]
    shown = " and ".join(panel.axis.label for panel in data.panels)
    text = (
        f"{metric_label(data.metric)} on the test frames against {shown}, with {data.tiling}. {what_bars_mean(every)}"
    )
    return text + what_is_missing(data.left_out, data.unfinished)


def size_mm(data: FactorPanels) -> tuple[float, float]:
    """Return width and height: one column for one factor, two for more."""
    rows = -(-len(data.panels) // _COLUMNS)
    return (COLUMN_MM if len(data.panels) == 1 else PAGE_MM), 72.0 * rows
