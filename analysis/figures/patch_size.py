"""Score on the test frames against the patch size, with the memory of a training on the second axis."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import panels
from analysis.figures.curves import Axis, Curve, curves, legend_columns, positions_of
from analysis.figures.panels import Panels
from analysis.records import MissingRuns, StudyRecord
from analysis.selection import memory_metric, train_factors
from analysis.style import COLUMN_MM, FAINT, colour, marker
from usplit_core.vocabulary import Metric

TITLE = "Patch size and memory"
_FACTOR = "model.patch_px"
_GB = 1e9
_MEMORY_LINE_MM = 4.0  # of the legend


class PatchSize(NamedTuple):
    """The scores in one panel, and the memory of their curves, where it was recorded."""

    scores: Panels
    memory_metric: Metric | None
    memory: tuple[Curve, ...]

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The curves of the scores."""
        return self.scores.panels[0].curves

    @property
    def axis(self) -> Axis:
        """The patch sizes."""
        return self.scores.panels[0].axis


def data(record: StudyRecord) -> PatchSize:
    """Return scores and memory by patch size; raises as `analysis.figures.panels.scores_by`."""
    scores = panels.scores_by(record, [_FACTOR])
    try:
        of_memory: Metric | None = memory_metric(record)
    except MissingRuns:
        of_memory = None
    known = curves(record, of_memory, _FACTOR, train_factors(record)) if of_memory else ()
    by_label = {curve.label: curve for curve in known}
    shown = [curve.label for curve in scores.panels[0].curves]
    return PatchSize(scores, of_memory, tuple(by_label[label] for label in shown if label in by_label))


def draw(data: PatchSize, figure: Figure) -> None:
    """Draw the scores as lines with bars, and memory as dotted lines with open marks.

    A network that was trained at one patch size is a dashed line across: what the others are measured against.
    """
    (ax,) = panels.draw_panels(data.scores, figure)
    for index, curve in enumerate(data.curves):
        if len(curve.points) == 1:
            ax.axhline(curve.points[0].summary.mean, color=colour(index), linewidth=0.8, linestyle="--", zorder=1)
    handles, names = ax.get_legend_handles_labels()
    if data.memory and data.memory_metric is not None:
        _draw_memory(ax, data)
        handles = [*handles, Line2D([], [], color=FAINT, linestyle=":", marker="o", markerfacecolor="white")]
        names = [*names, f"{data.memory_metric.label}, right axis"]
    figure.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, COLUMN_MM))


def caption(data: PatchSize) -> str:
    """Say what is seen."""
    text = panels.caption(data.scores)
    if data.memory and data.memory_metric is not None:
        text += f" Dotted, right axis: {data.memory_metric.label} of the training, mean over seeds."
    if any(len(curve.points) == 1 for curve in data.curves):
        text += " Dashed across: a network that was trained at one patch size."
    return text


def size_mm(data: PatchSize) -> tuple[float, float]:
    """Return width and height: one column, taller with more curves."""
    width_mm, height_mm = panels.size_mm(data.scores)
    return width_mm, height_mm + _MEMORY_LINE_MM


def _draw_memory(ax: Axes, data: PatchSize) -> None:
    beside = ax.twinx()
    for curve in data.memory:
        index = [shown.label for shown in data.curves].index(curve.label)
        # A finished training whose evaluation failed has a memory, but no place among the scores.
        points = [point for point in curve.points if point.level in data.axis.levels]
        beside.plot(
            positions_of(data.axis, [point.level for point in points]), [point.summary.mean / _GB for point in points],
            ":", color=colour(index), marker=marker(index), markersize=3.5, markerfacecolor="white", linewidth=0.9,
        )  # fmt: skip
    beside.set_ylim(bottom=0)
    beside.set_ylabel(f"{data.memory_metric.label if data.memory_metric else ''} (GB)")
    beside.grid(visible=False)
    beside.spines["right"].set_visible(True)
