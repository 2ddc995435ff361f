"""Validation score by epoch, one line a trial."""

from typing import NamedTuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.curves import legend_columns
from analysis.records import MissingRuns, Point, StudyRecord
from analysis.selection import cells, how_to_run, metric_label, pick, train_factors
from analysis.style import COLUMN_MM, PAGE_MM, PALETTE, colour
from analysis.tasks import describe_cell
from usplit_core.settings import Setting
from usplit_core.vocabulary import MONITOR, Metric

TITLE = "Learning curves"
_MANY_LINES = 20
_FACTOR = "model.lc_depth"


class Line(NamedTuple):
    """One trial: the combination of levels that gives its colour, its seed, its history."""

    cell: str
    seed: Setting
    state: str
    history: tuple[Point, ...]


class LearningCurves(NamedTuple):
    """What the figure shows; `cells` are the colours, `without` counts trials that have no history yet."""

    metric: Metric
    cells: tuple[str, ...]
    lines: tuple[Line, ...]
    without: int


def data(record: StudyRecord) -> LearningCurves:
    """Return the validation history of every trial.

    The colour tells the combination of train factors, or the LC depth alone where there are more
    combinations than colours, or nothing where that does not suffice either.

    Raises
    ------
    MissingRuns
        If no trial has reported an epoch.
    """
    names: tuple[str, ...] = train_factors(record)
    if len(cells(record, names)) > len(PALETTE):
        names = (_FACTOR,) if _FACTOR in names else names[:1]
    if len(cells(record, names)) > len(PALETTE):
        names = ()
    lines = [
        Line(describe_cell(record, pick(trial.settings, names)), trial.seed, trial.state, trial.history(MONITOR.key))
        for trial in record.trials
    ]
    shown = tuple(line for line in lines if line.history)
    if not shown:
        raise MissingRuns(f"No trial has reported {MONITOR.label} yet. {how_to_run(record)}")
    present = {line.cell for line in shown}
    order = tuple(text for text in (describe_cell(record, cell) for cell in cells(record, names)) if text in present)
    return LearningCurves(MONITOR, order, shown, len(lines) - len(shown))


def draw(data: LearningCurves, figure: Figure) -> None:
    """Draw one thin line a trial; unfinished trials are dashed."""
    ax = figure.subplots()
    width = 0.9 if len(data.lines) <= _MANY_LINES else 0.5
    index = {cell: i for i, cell in enumerate(data.cells)}
    single = [line for line in data.lines if len(line.history) == 1]
    ax.scatter([line.history[0].step for line in single], [line.history[0].value for line in single], s=6,
               c=[colour(index[line.cell]) for line in single])  # fmt: skip
    for style, finished in (("-", True), ("--", False)):
        lines = [line for line in data.lines if (line.state == "finished") == finished and len(line.history) > 1]
        inks = [colour(index[line.cell]) for line in lines]
        curves = [np.array(line.history) for line in lines]
        ax.add_collection(LineCollection(curves, colors=inks, linestyles=style, linewidths=width, alpha=0.85))
    ax.autoscale_view()
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel("epoch")
    ax.set_ylabel(metric_label(data.metric))
    _legend(data, figure)


def caption(data: LearningCurves) -> str:
    """Say what is seen."""
    text = f"{metric_label(data.metric)} by epoch; one line a trial (n = {len(data.lines)} trials, {_seeds(data)})."
    if any(line.state != "finished" for line in data.lines):
        text += " Dashed: trials that did not finish."
    return f"{text} {data.without} further trial(s) have reported nothing yet." if data.without else text


def size_mm(data: LearningCurves) -> tuple[float, float]:
    """Return width and height: wider where the legend has many lines."""
    return (COLUMN_MM if len(data.cells) <= 4 else PAGE_MM), 68.0


def _legend(data: LearningCurves, figure: Figure) -> None:
    handles = [
        Line2D([], [], color=colour(i), label=f"{cell or 'all trials'} (n = {_count(data, cell)})")
        for i, cell in enumerate(data.cells)
    ]
    columns = legend_columns([str(handle.get_label()) for handle in handles], size_mm(data)[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def _count(data: LearningCurves, cell: str) -> int:
    return sum(line.cell == cell for line in data.lines)


def _seeds(data: LearningCurves) -> str:
    seeds = sorted({str(line.seed) for line in data.lines}, key=lambda text: (len(text), text))
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(seeds)}"
