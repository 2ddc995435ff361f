"""Score against memory, or one objective against the other: what can be had without giving up the other."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from analysis.figures.curves import MOST_CURVES, legend_columns
from analysis.records import MissingRuns, StudyRecord
from analysis.selection import (
    describe_tiling,
    headline,
    how_to_run,
    memory_metric,
    metric_label,
    reference_tiling,
    train_factors,
)
from analysis.statistics import Summary, group
from analysis.style import COLUMN_MM, FAINT, colour, marker
from analysis.tasks import describe_cell
from usplit_core.settings import Setting
from usplit_core.vocabulary import METRICS, Metric

TITLE = "What a better score costs"
_LABEL_SIGNS = 48
_SCALES = {"B": (1e9, "GB")}


class Cell(NamedTuple):
    """One combination of train factors; on the front no other is better in one and as good in the other."""

    label: str
    cost: Summary
    score: Summary
    on_front: bool


class Pareto(NamedTuple):
    """What the figure shows; `unfinished` counts trials without a result."""

    cost: Metric
    score: Metric
    tiling: str
    cells: tuple[Cell, ...]
    unfinished: int


def data(record: StudyRecord) -> Pareto:
    """Return score and cost of every combination of train factors.

    The cost is peak memory; of a study with several objectives it is the second of them.

    Raises
    ------
    MissingRuns
        If scores or costs are missing.
    """
    score, cost, tiling = headline(record), None, reference_tiling(record)
    if len(record.objectives) > 1 and all(key in METRICS for key in record.objectives[:2]):
        score, cost = METRICS[record.objectives[0]], METRICS[record.objectives[1]]
    cost = cost or memory_metric(record)
    names = train_factors(record)
    scores, costs = (_by_cell(record, of, names, tiling) for of in (score, cost))
    shared = [key for key in scores if key in costs]
    if not shared:
        raise MissingRuns(f"No finished trial has both {score.label} and {cost.label}. {how_to_run(record)}")
    pairs = [(_sign(cost) * costs[key].mean, _sign(score) * scores[key].mean) for key in shared]
    front = front_of(pairs)
    found = tuple(
        Cell(
            describe_cell(record, dict(zip(names, key, strict=True))) or "all trials",
            costs[key],
            scores[key],
            index in front,
        )
        for index, key in enumerate(shared)
    )
    unfinished = len(record.trials) - len(record.finished)
    words = describe_tiling(tiling) if score.key.startswith("test/") else ""
    return Pareto(cost, score, words, found, unfinished)


def front_of(pairs: Sequence[tuple[float, float]]) -> set[int]:
    """Return the indices of the pairs that no other pair is better than; larger is better in both."""
    order = sorted(range(len(pairs)), key=lambda index: (-pairs[index][0], -pairs[index][1]))
    front, highest = set(), float("-inf")
    for index in order:
        if pairs[index][1] > highest:
            front.add(index)
            highest = pairs[index][1]
    return front


def draw(data: Pareto, figure: Figure) -> None:
    """Draw a mark a combination; those on the front are joined and named."""
    ax = figure.subplots()
    scale, unit = _SCALES.get(data.cost.unit, (1.0, data.cost.unit))
    others = [cell for cell in data.cells if not cell.on_front]
    ax.scatter([c.cost.mean / scale for c in others], [c.score.mean for c in others], s=9, color=FAINT, alpha=0.6,
               linewidths=0, label=f"others ({len(others)})" if others else None)  # fmt: skip
    front = sorted((cell for cell in data.cells if cell.on_front), key=lambda cell: cell.cost.mean)
    ax.step(
        [cell.cost.mean / scale for cell in front], [cell.score.mean for cell in front],
        where="post" if data.cost.better == "lower" else "pre", color=FAINT, linewidth=0.8, zorder=1,
    )  # fmt: skip
    for index, cell in enumerate(front):
        named = index < MOST_CURVES
        ink = colour(index) if named else FAINT
        if cell.score.interval is not None:
            ax.plot([cell.cost.mean / scale] * 2, cell.score.interval, color=ink, linewidth=0.9)
        ax.plot(cell.cost.mean / scale, cell.score.mean, marker=marker(index) if named else ".", color=ink,
                linestyle="none", markeredgecolor="white", markeredgewidth=0.5,
                label=_name(cell) if named else None)  # fmt: skip
    ax.margins(0.1)
    ax.set_xlabel(f"{data.cost.label} ({unit})" if unit else data.cost.label)
    ax.set_ylabel(metric_label(data.score))
    handles, names = ax.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, COLUMN_MM))


def caption(data: Pareto) -> str:
    """Say what is seen."""
    on = sum(cell.on_front for cell in data.cells)
    numbers = {cell.score.n for cell in data.cells}
    n = f"{min(numbers)} to {max(numbers)}" if len(numbers) > 1 else str(min(numbers))
    at = f", with {data.tiling}" if data.tiling else ""
    text = (
        f"{data.score.label} against {data.cost.label}, means over n = {n} seed{'' if n == '1' else 's'} of each of "
        f"{len(data.cells)} combinations{at}. The line joins the {on} on the Pareto front: no other combination is "
        "better in one and as good in the other."
    )
    if max(numbers) > 1:
        text += " Bars: 95 % bootstrap interval of the mean."
    if data.unfinished:
        text += f" Not shown: {data.unfinished} unfinished trial{'' if data.unfinished == 1 else 's'}."
    return text


def size_mm(data: Pareto) -> tuple[float, float]:
    """Return width and height: one column, taller with more names."""
    return COLUMN_MM, 66.0 + 3.6 * min(sum(cell.on_front for cell in data.cells) + 1, MOST_CURVES + 1)


def _by_cell(
    record: StudyRecord, of: Metric, names: Sequence[str], tiling: dict[str, Setting]
) -> dict[tuple[Setting, ...], Summary]:
    where = tiling if of.key.startswith("test/") else None
    return {tuple(item.levels.values()): item.summary for item in group(record, of.key, names, where=where)}


def _name(cell: Cell) -> str:
    return textwrap.fill(f"{cell.label} (n\u00a0=\u00a0{cell.score.n})", _LABEL_SIGNS)


def _sign(of: Metric) -> int:
    return -1 if of.better == "lower" else 1
