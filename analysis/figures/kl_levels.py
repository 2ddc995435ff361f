"""KL divergence of each latent level by epoch, a panel a combination of train factors."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from analysis.records import NotVaried, Point, StudyRecord, Trial
from analysis.selection import cells, is_sampled, matches, train_factors
from analysis.style import COLUMN_MM, PAGE_MM
from analysis.tasks import describe_cell

TITLE = "KL divergence by level"
_KEY = "train/kl/"
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST = 4


class Panel(NamedTuple):
    """One combination of train factors: the mean over seeds of each level's history, from the bottom."""

    title: str
    n: int
    levels: tuple[tuple[Point, ...], ...]


class KlLevels(NamedTuple):
    """What the figure shows; `left_out` counts combinations beyond the first four."""

    panels: tuple[Panel, ...]
    left_out: int


def data(record: StudyRecord) -> KlLevels:
    """Return the KL divergence of each level by epoch, as training weighs it.

    Raises
    ------
    NotVaried
        If no finished trial has latent levels.
    """
    names = [name for name in train_factors(record) if not is_sampled(record, name)]
    panels = []
    for cell in cells(record, names):
        trials = [trial for trial in record.finished if matches(trial.settings, cell) and _count(trial)]
        if trials:
            panels.append((cell, trials))
    if not panels:
        raise NotVaried("No finished network of the study has latent levels.")
    shown = tuple(
        Panel(describe_cell(record, cell).replace(", ", "\n"), len(trials), _means(trials))
        for cell, trials in panels[:_MOST]
    )
    return KlLevels(shown, max(0, len(panels) - _MOST))


def draw(data: KlLevels, figure: Figure) -> None:
    """Draw a line a level, dark at the bottom; the vertical axis is logarithmic and shared."""
    axes = figure.subplots(1, len(data.panels), sharey=True, squeeze=False)[0]
    most = max(len(panel.levels) for panel in data.panels)
    for ax, panel in zip(axes, data.panels, strict=True):
        for level, history in enumerate(panel.levels):
            steps, values = zip(*history, strict=True)
            ink = colormaps["viridis"](0.9 * level / max(most - 1, 1))
            mark = "o" if len(steps) == 1 else ""
            ax.plot(steps, values, color=ink, marker=mark, label=f"level {level}")
        ax.set_title(f"{panel.title}\n(n = {panel.n})" if panel.title else f"n = {panel.n}", fontweight="normal")
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        if all(point.value > 0 for history in panel.levels for point in history):
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(_Powers())
            ax.yaxis.set_minor_formatter(_Powers())
    axes[0].set_ylabel("KL divergence (nats, as weighed in the loss)")
    longest = max(axes, key=lambda ax: len(ax.lines))
    figure.legend(*longest.get_legend_handles_labels(), loc="outside right upper")


class _Powers(LogFormatter):
    """Writes 0.002 as 2×10⁻³: matplotlib's own powers are formulas, which `analysis.style` leaves unread."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick, or nothing where there is no room for one."""
        factor, is_power, exponent = super().__call__(x, pos).partition("e")
        if not is_power:
            return factor
        sign = "⁻" if exponent[0] in "-−" else ""
        power = f"10{sign}{exponent[1:].lstrip('0').translate(_SUPERSCRIPTS)}"
        return power if factor == "1" else f"{factor}×{power}"


def caption(data: KlLevels) -> str:
    """Say what is seen."""
    text = (
        "KL divergence of each latent level in training by epoch, mean over the seeds (n in each title); level 0 is "
        "the bottom, at the resolution of the patch. A level whose divergence falls to zero has collapsed."
    )
    return f"{text} {data.left_out} further combinations are left out." if data.left_out else text


def size_mm(data: KlLevels) -> tuple[float, float]:
    """Return width and height."""
    lines = max(panel.title.count("\n") for panel in data.panels)
    return (COLUMN_MM if len(data.panels) == 1 else PAGE_MM), 62.0 + 3.5 * lines


def _count(trial: Trial) -> int:
    return sum(key.startswith(_KEY) for key in trial.metrics)


def _means(trials: Sequence[Trial]) -> tuple[tuple[Point, ...], ...]:
    levels = range(max(_count(trial) for trial in trials))
    return tuple(_mean([trial.history(f"{_KEY}{level}") for trial in trials]) for level in levels)


def _mean(histories: Sequence[Sequence[Point]]) -> tuple[Point, ...]:
    """Return the mean at each epoch over the trials that have reached it."""
    values: dict[int, list[float]] = defaultdict(list)
    for history in histories:
        for point in history:
            values[point.step].append(point.value)
    return tuple(Point(step, float(np.mean(values[step]))) for step in sorted(values))
