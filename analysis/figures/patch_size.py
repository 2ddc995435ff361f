"""Score on the test frames against the patch size, with the memory of a training on the second axis."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.curves import (
    Axis,
    Curve,
    axis_of,
    curves,
    draw_curves,
    keep_best,
    legend_columns,
    legend_height_mm,
    positions_of,
    what_bars_mean,
    what_is_missing,
)
from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import (
    describe_tiling,
    headline,
    how_to_add,
    how_to_run,
    memory_metric,
    metric_label,
    reference_tiling,
    train_factors,
)
from analysis.style import COLUMN_MM, FAINT, colour, marker
from usplit_core.vocabulary import Metric

TITLE = "Patch size and memory"
_FACTOR = "model.patch_px"
_GB = 1e9


class PatchSize(NamedTuple):
    """What the figure shows, at one tiling; `memory` has the curves of the scores, where memory was recorded."""

    metric: Metric
    memory_metric: Metric | None
    tiling: str
    axis: Axis
    curves: tuple[Curve, ...]
    memory: tuple[Curve, ...]
    left_out: int
    unfinished: int


def data(record: StudyRecord) -> PatchSize:
    """Return scores and memory by patch size, a curve a combination of the other train factors.

    Raises
    ------
    NotVaried
        If fewer than two patch sizes were trained.
    MissingRuns
        If none was evaluated.
    """
    if _FACTOR not in train_factors(record):
        raise NotVaried(how_to_add(record, _FACTOR, kind="train"))
    metric, tiling = headline(record), reference_tiling(record)
    found = curves(record, metric, _FACTOR, train_factors(record), where=tiling)
    if not found:
        raise MissingRuns(f"No finished trial has been evaluated with {describe_tiling(tiling)}. {how_to_run(record)}")
    kept = keep_best(found, metric)
    try:
        of_memory: Metric | None = memory_metric(record)
    except MissingRuns:
        of_memory = None
    known = curves(record, of_memory, _FACTOR, train_factors(record)) if of_memory else ()
    by_label = {curve.label: curve for curve in known}
    return PatchSize(
        metric=metric,
        memory_metric=of_memory,
        tiling=describe_tiling(tiling),
        axis=axis_of(record, _FACTOR),
        curves=kept,
        memory=tuple(by_label[curve.label] for curve in kept if curve.label in by_label),
        left_out=len(found) - len(kept),
        unfinished=len(record.trials) - len(record.finished),
    )


def draw(data: PatchSize, figure: Figure) -> None:
    """Draw the scores as lines with bars, and memory as dotted lines with open marks.

    A network that was trained at one patch size is a dashed line across: what the others are measured against.
    """
    ax = figure.subplots()
    draw_curves(ax, data.axis, data.curves)
    for index, curve in enumerate(data.curves):
        if len(curve.points) == 1:
            ax.axhline(curve.points[0].summary.mean, color=colour(index), linewidth=0.8, linestyle="--", zorder=1)
    ax.set_ylabel(metric_label(data.metric))
    handles, names = ax.get_legend_handles_labels()
    if data.memory and data.memory_metric is not None:
        _draw_memory(ax, data)
        handles = [*handles, Line2D([], [], color=FAINT, linestyle=":", marker="o", markerfacecolor="white")]
        names = [*names, f"{data.memory_metric.label}, right axis"]
    figure.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, COLUMN_MM))


def caption(data: PatchSize) -> str:
    """Say what is seen."""
    text = f"{metric_label(data.metric)} on the test frames against the patch size in training, with {data.tiling}."
    if data.memory and data.memory_metric is not None:
        text += f" Dotted, right axis: {data.memory_metric.label} of the training, mean over seeds."
    if any(len(curve.points) == 1 for curve in data.curves):
        text += " Dashed across: a network that was trained at one patch size."
    return f"{text} {what_bars_mean(data.curves)}{what_is_missing(data.left_out, data.unfinished)}"


def size_mm(data: PatchSize) -> tuple[float, float]:
    """Return width and height: one column, taller with more curves."""
    return COLUMN_MM, 64.0 + legend_height_mm(data.curves, COLUMN_MM)


def _draw_memory(ax: Axes, data: PatchSize) -> None:
    beside = ax.twinx()
    for curve in data.memory:
        index = [shown.label for shown in data.curves].index(curve.label)
        places = positions_of(data.axis, [point.level for point in curve.points])
        beside.plot(
            places, [point.summary.mean / _GB for point in curve.points], ":", color=colour(index),
            marker=marker(index), markersize=3.5, markerfacecolor="white", linewidth=0.9,
        )  # fmt: skip
    beside.set_ylim(bottom=0)
    beside.set_ylabel(f"{data.memory_metric.label if data.memory_metric else ''} (GB)")
    beside.grid(visible=False)
    beside.spines["right"].set_visible(True)
