"""How much lateral context gains over the best network without it, a row a task: the paper's headline."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.curves import MOST_CURVES, legend_columns
from analysis.figures.dots import Dot, draw_dots, height_mm, series_of, what_dots_mean, wrap_names
from analysis.intervals import format_interval
from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import describe, describe_tiling, headline, how_to_add, how_to_run, is_sampled, reference_tiling
from analysis.statistics import Group, best_group, group, paired_difference, summarise
from analysis.style import COLUMN_MM, FAINT
from analysis.tasks import network_factors, task_factors, task_name
from usplit_core.settings import Setting
from usplit_core.vocabulary import Metric

TITLE = "Gain by lateral context"
_LC = "model.lc_depth"


class Reference(NamedTuple):
    """The best network without lateral context on one task."""

    task: str
    network: str


class LcGain(NamedTuple):
    """What the figure shows; `mean` is the average over tasks of the best network's gain."""

    metric: Metric
    tiling: str
    dots: tuple[Dot, ...]
    references: tuple[Reference, ...]
    mean: float
    left_out: int


def data(record: StudyRecord) -> LcGain:
    """Return the gain of every network with lateral context over the best one without, paired by seed.

    Raises
    ------
    NotVaried
        If not both kinds of networks were trained.
    MissingRuns
        If they were not evaluated, or share no seed.
    """
    depths = {trial.settings.get(_LC) for trial in record.trials}
    if 0 not in depths or len(depths) < 2:
        raise NotVaried(how_to_add(record, _LC, kind="train"))
    metric, tiling = headline(record), reference_tiling(record)
    tasks = task_factors(record)
    networks = list(dict.fromkeys([*(name for name in network_factors(record) if not is_sampled(record, name)), _LC]))
    by_task: dict[tuple[Setting, ...], list[Group]] = {}
    for item in group(record, metric.key, [*tasks, *networks], where=tiling):
        by_task.setdefault(tuple(item.levels[name] for name in tasks), []).append(item)
    dots, references = [], []
    for key, groups in by_task.items():
        task = task_name(record, dict(zip(tasks, key, strict=True))) or record.name
        plain = [item for item in groups if item.levels[_LC] == 0]
        if plain:
            reference = best_group(plain, metric.key)
            references.append(Reference(task, _network(reference, networks)))
            dots += _gains(task, reference, [item for item in groups if item.levels[_LC] != 0], networks)
    if not dots:
        raise MissingRuns(
            f"No network with lateral context shares a seed with one without, on the same images. {how_to_run(record)}"
        )
    shown = _best_series(dots)
    best = [max(dot.summary.mean for dot in dots if dot.row == found.task) for found in references if _has(dots, found)]
    return LcGain(
        metric, describe_tiling(tiling), tuple(dot for dot in dots if dot.series in shown), tuple(references),
        float(np.mean(best)), len(series_of(dots)) - len(shown),
    )  # fmt: skip


def draw(data: LcGain, figure: Figure) -> None:
    """Draw a row a task, a mark a network, and a line at no gain."""
    ax = figure.subplots()
    draw_dots(ax, _wrapped(data.dots))
    ax.axvline(0, color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
    ax.set_xlabel(f"gain in {data.metric.label} ({data.metric.unit})")
    handles, names = ax.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, COLUMN_MM))


def caption(data: LcGain) -> str:
    """Say what is seen."""
    tasks = len({dot.row for dot in data.dots})
    without = "; ".join(f"{', '.join(found.task.splitlines())}: {found.network}" for found in data.references)
    text = (
        f"Gain in {data.metric.label} on the test frames over the best network without lateral context ({without}), "
        f"paired by seed, with {data.tiling}. {what_dots_mean(data.dots)} "
        f"Mean over n = {tasks} task{'' if tasks == 1 else 's'} of the best network's gain: "
        f"{format_interval(data.mean, None, signed=True, unit=data.metric.unit)}; the best is chosen on the frames it "
        "is scored on, which flatters it."
    )
    less = f"{data.left_out} network{'' if data.left_out == 1 else 's'}"
    return f"{text} Not shown, for gaining less: {less}." if data.left_out else text


def size_mm(data: LcGain) -> tuple[float, float]:
    """Return width and height."""
    return COLUMN_MM, height_mm(_wrapped(data.dots), legend=True) + 6


def _gains(task: str, reference: Group, others: Sequence[Group], networks: Sequence[str]) -> list[Dot]:
    theirs = dict(zip(reference.seeds, reference.values, strict=True))
    dots = []
    for item in others:
        ours = dict(zip(item.seeds, item.values, strict=True))
        if paired_difference(ours, theirs, unit="seed") is not None:
            values = tuple(ours[seed] - theirs[seed] for seed in item.seeds if seed in theirs)
            dots.append(Dot(task, _network(item, networks), values, summarise(values)))
    return dots


def _wrapped(dots: Sequence[Dot]) -> list[Dot]:
    return [dot._replace(row=wrap_names(dot.row)) for dot in dots]


def _network(item: Group, networks: Sequence[str]) -> str:
    return describe({name: item.levels[name] for name in networks})


def _best_series(dots: Sequence[Dot]) -> list[str]:
    """Return at most as many series as there are colours, those with the largest mean over tasks, in their order."""
    mean = {
        series: float(np.mean([dot.summary.mean for dot in dots if dot.series == series])) for series in series_of(dots)
    }
    best = sorted(mean, key=lambda series: -mean[series])[:MOST_CURVES]
    return [series for series in mean if series in best]


def _has(dots: Sequence[Dot], reference: Reference) -> bool:
    return any(dot.row == reference.task for dot in dots)
