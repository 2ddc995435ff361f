"""Score on the test frames against the number of posterior samples that are averaged."""

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
    describe,
    evaluation_factors,
    headline,
    how_to_add,
    how_to_run,
    metric_label,
    reference_tiling,
    train_factors,
)
from analysis.style import COLUMN_MM
from usplit_core.vocabulary import Metric

TITLE = "Posterior samples"
_FACTOR = "tiling.samples"


class SampleCount(NamedTuple):
    """What the figure shows, at one tiling."""

    metric: Metric
    tiling: str
    axis: Axis
    curves: tuple[Curve, ...]
    left_out: int
    unfinished: int


def data(record: StudyRecord) -> SampleCount:
    """Return the scores by number of samples, a curve a combination of the train factors.

    Raises
    ------
    NotVaried
        If fewer than two numbers of samples were evaluated.
    MissingRuns
        If nothing was evaluated.
    """
    if _FACTOR not in evaluation_factors(record):
        raise NotVaried(how_to_add(record, _FACTOR, kind="evaluation"))
    metric = headline(record)
    tiling = {name: value for name, value in reference_tiling(record).items() if name != _FACTOR}
    found = curves(record, metric, _FACTOR, train_factors(record), where=tiling)
    if not found:
        raise MissingRuns(f"No finished trial has been evaluated. {how_to_run(record)}")
    kept = keep_best(found, metric)
    words = describe({name: tiling[name] for name in ("tiling.mode", "tiling.padding_px")})
    unfinished = len(record.trials) - len(record.finished)
    return SampleCount(metric, words, axis_of(record, _FACTOR), kept, len(found) - len(kept), unfinished)


def draw(data: SampleCount, figure: Figure) -> None:
    """Draw one panel."""
    ax = figure.subplots()
    draw_curves(ax, data.axis, data.curves)
    ax.set_ylabel(metric_label(data.metric))
    handles, names = ax.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, COLUMN_MM))


def caption(data: SampleCount) -> str:
    """Say what is seen."""
    text = (
        f"{metric_label(data.metric)} on the test frames against the number of posterior samples whose mean is the "
        f"prediction, with {data.tiling}. {what_bars_mean(data.curves)}"
    )
    return text + what_is_missing(data.left_out, data.unfinished)


def size_mm(data: SampleCount) -> tuple[float, float]:
    """Return width and height: one column, taller with more curves."""
    return COLUMN_MM, 58.0 + legend_height_mm(data.curves, COLUMN_MM)
