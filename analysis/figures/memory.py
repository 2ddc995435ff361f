"""Peak memory of a training, a mark a combination of train factors."""

import textwrap
from typing import NamedTuple

from matplotlib.figure import Figure

from analysis.figures.dots import Dot, draw_dots, height_mm, what_dots_mean
from analysis.records import MissingRuns, StudyRecord
from analysis.selection import how_to_run, is_sampled, memory_metric, train_factors
from analysis.statistics import group
from analysis.style import COLUMN_MM, PAGE_MM
from analysis.tasks import describe_cell
from usplit_core.vocabulary import Metric

TITLE = "Memory of a training"
_MOST = 24
_WIDE = 34  # signs of a row's name
_GB = 1e9


class Memory(NamedTuple):
    """What the figure shows; `left_out` counts combinations that need less than those shown."""

    metric: Metric
    dots: tuple[Dot, ...]
    left_out: int


def data(record: StudyRecord) -> Memory:
    """Return the peak memory by the train factors that have levels, at most the 24 largest.

    Raises
    ------
    MissingRuns
        If no finished trial has recorded its memory.
    """
    metric = memory_metric(record)
    names = [name for name in train_factors(record) if not is_sampled(record, name)]
    groups = group(record, metric.key, names)
    if not groups:
        raise MissingRuns(f"No finished trial has recorded its {metric.label}. {how_to_run(record)}")
    kept = sorted(groups, key=lambda item: -item.summary.mean)[:_MOST]
    dots = tuple(
        Dot(textwrap.fill(describe_cell(record, item.levels) or "all trials", _WIDE), "", item.values, item.summary)
        for item in groups
        if item in kept
    )
    return Memory(metric, dots, len(groups) - len(kept))


def draw(data: Memory, figure: Figure) -> None:
    """Draw a row a combination, from zero on."""
    ax = figure.subplots()
    draw_dots(ax, data.dots, scale=_GB)
    for index, dot in enumerate(data.dots):
        ax.plot(
            [0, dot.summary.mean / _GB], [index, index], color="#d5dde4", linewidth=5, zorder=1, solid_capstyle="butt"
        )
    ax.set_xlim(left=0)
    ax.set_xlabel(f"{data.metric.label} (GB)")


def caption(data: Memory) -> str:
    """Say what is seen."""
    text = f"{data.metric.label} of a training, in GB of 10⁹ bytes. {what_dots_mean(data.dots)}"
    return f"{text} {data.left_out} combinations that need less are left out." if data.left_out else text


def size_mm(data: Memory) -> tuple[float, float]:
    """Return width and height: a row each."""
    return (COLUMN_MM if len(data.dots) < 8 else PAGE_MM), height_mm(data.dots, legend=False)
