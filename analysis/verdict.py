"""The answer of a study in one sentence: its best cell against its reference, with an interval."""

from typing import NamedTuple

from analysis.effects import Crossed, compare_crossed
from analysis.intervals import decimals, format_interval, format_number
from analysis.records import MissingRuns, Settings, StudyRecord
from analysis.selection import cells, describe, describe_tiling, headline, how_to_run, is_sampled, reference_tiling
from analysis.statistics import FEW, Difference, Group, best_group, compare, group, is_distinct, paired_difference
from analysis.tasks import network_factors, task_factors, task_name
from usplit_core.vocabulary import Metric


class Verdict(NamedTuple):
    """What the sentence says; `cells` counts those with results.

    There is no reference where no cell is one, and no difference where none is paired.
    """

    metric: Metric
    tiling: Settings
    cells: int
    best: Group
    reference: Group | None
    difference: Difference | None
    by_frame: Difference | None
    crossed: Crossed | None
    tasks: tuple["TaskGain", ...] = ()


class TaskGain(NamedTuple):
    """How far the best cell lies from the reference on one of several kinds of images."""

    task: str
    difference: Difference | None


class Gain(NamedTuple):
    """How far one cell lies from the reference."""

    levels: Settings
    difference: Difference | None


def verdict(record: StudyRecord) -> Verdict:
    """Compare the cell with the best mean with the reference, paired by seed, at one tiling.

    The reference is the cell with the first level of every train factor, such as LC depth 0: the
    first that has a result, in the order of the levels. Values that were drawn from a range have none.
    Where the images vary too, networks are compared by their mean over all of them, and on each alone.

    Raises
    ------
    MissingRuns
        If no finished trial has been evaluated.
    """
    metric, tiling, factors = headline(record), reference_tiling(record), network_factors(record)
    groups = _cells(record, metric, tiling)
    if not groups:
        raise MissingRuns(f"No finished trial has been evaluated yet{_on_all(record)}. {how_to_run(record)}")
    best = best_group(groups, metric.key)
    reference = None if not factors or any(is_sampled(record, name) for name in factors) else groups[0]
    tasks = cells(record, task_factors(record)) if task_factors(record) else []
    if reference is None or best is reference:
        alone = tuple(TaskGain(task_name(record, task), None) for task in tasks)
        return Verdict(metric, tiling, len(groups), best, reference, None, None, None, alone)
    pair = {**best.levels, **tiling}, {**reference.levels, **tiling}
    return Verdict(
        metric,
        tiling,
        len(groups),
        best,
        reference,
        _difference(best, reference),
        compare(record, metric.key, *pair, unit="frame"),
        compare_crossed(record, metric.key, *pair),
        tuple(
            TaskGain(task_name(record, task), compare(record, metric.key, *({**side, **task} for side in pair)))
            for task in tasks
        ),
    )


def gains(record: StudyRecord, found: Verdict) -> list[Gain]:
    """Return the difference of every other cell from the reference, paired by seed; empty without a reference."""
    if found.reference is None:
        return []
    return [
        Gain(item.levels, _difference(item, found.reference))
        for item in _cells(record, found.metric, found.tiling)
        if item.levels != found.reference.levels
    ]


def _cells(record: StudyRecord, metric: Metric, tiling: Settings) -> list[Group]:
    """Return the cells by the factors of the network; where the images vary, means over all of them."""
    return group(record, metric.key, network_factors(record), where=tiling, within=task_factors(record))


def _difference(first: Group, second: Group) -> Difference | None:
    ours, theirs = (dict(zip(item.seeds, item.values, strict=True)) for item in (first, second))
    return paired_difference(ours, theirs, unit="seed")


def _on_all(record: StudyRecord) -> str:
    return " on all images" if task_factors(record) else ""


def format_difference(difference: Difference, metric: Metric) -> str:
    """Return a difference with its interval and n, such as ``+1.75 dB (+1.70 to +1.80), n = 2``."""
    summary = difference.summary
    text = format_interval(summary.mean, summary.interval, signed=True, unit=metric.unit, least=_places(metric))
    return f"{text}, n = {summary.n}"


def in_words(found: Verdict) -> str:
    """Return the verdict as one sentence."""
    name = describe(found.best.levels)
    score = f"{_number(found.best.summary.mean, found.metric)} {found.metric.label} on the test frames"
    if found.tasks:
        score += f", mean over {len(found.tasks)} kinds of images,"
    conditions = f"({describe_tiling(found.tiling)}; {_count(found.best.summary.n)})"
    if not found.best.levels:
        return f"The model reaches {score} {conditions}."
    if found.cells == 1:
        return f"Only {name} has results so far: {score} {conditions}."
    if found.best is found.reference:
        return f"The reference, {name}, is the best: {score} {conditions}."
    lead = f"The best is {name}, with a mean of {score}"
    if found.reference is None:
        return f"{lead} {conditions}."
    reference = describe(found.reference.levels)
    lead += f" ({describe_tiling(found.tiling)})"
    if found.difference is None:
        return f"{lead}; it shares no seed with the reference ({reference}), so the two cannot be paired."
    return f"{lead}; that is {_gain(found.metric, found.difference, reference)}."


def caveats(found: Verdict) -> list[str]:
    """Return what a reader must know before believing the sentence."""
    notes = []
    difference = found.difference
    if difference is not None and difference.summary.n < FEW:
        few = "One seed gives no interval" if difference.summary.n == 1 else "A bootstrap interval is too narrow"
        notes.append(f"{few}: with fewer than {FEW} paired seeds, take the difference as a first impression.")
    compared = [task for task in found.tasks if task.difference is not None]
    if compared:
        by_task = "; ".join(f"{task.task.replace(chr(10), ', ')}: {_by_task(task, found.metric)}" for task in compared)
        notes.append(f"Of each kind of images alone: {by_task}.")
    if found.by_frame is not None:
        frames = "frame" if found.by_frame.summary.n == 1 else "frames"
        notes.append(f"Paired by test frame instead: {format_difference(found.by_frame, found.metric)} {frames}.")
    if found.crossed is not None:
        notes.append(_both(found.crossed, found.metric))
    if found.cells > 2 and found.best is not found.reference:
        notes.append(
            f"The best of {found.cells} cells was chosen on the test frames it is scored on, which flatters it."
        )
    if difference is not None and difference.unpaired:
        notes.append(f"{difference.unpaired} trial(s) have no partner with the same seed and do not count here.")
    return notes


def _gain(metric: Metric, difference: Difference, reference: str) -> str:
    mean = difference.summary.mean
    interval = difference.summary.interval
    places = decimals(mean, *(interval or ()), least=_places(metric))
    words = f"{_number(abs(mean), metric, places)} {'more' if mean >= 0 else 'less'} than {reference}"
    if interval is None:
        return f"{words} (one seed, no interval)"
    low, high = (format_number(edge, places, signed=True) for edge in interval)
    note = "" if is_distinct(difference) else ", which includes no difference at all"
    return f"{words} (95 % interval of the difference {low} to {high}{note}; {difference.summary.n} seeds, paired)"


def _by_task(task: TaskGain, metric: Metric) -> str:
    return "" if task.difference is None else format_difference(task.difference, metric)


def _both(crossed: Crossed, metric: Metric) -> str:
    text = format_interval(crossed.mean, crossed.interval, signed=True, unit=metric.unit, least=_places(metric))
    return (
        f"For other trainings on other images, seeds and test frames are both resampled: {text}, "
        f"n = {crossed.seeds} seeds × {crossed.frames} frames."
    )


def _number(value: float, metric: Metric, places: int | None = None) -> str:
    return f"{value:.{_places(metric) if places is None else places}f} {metric.unit}".strip()


def _places(metric: Metric) -> int:
    return 2 if metric.unit else 3


def _count(n: int) -> str:
    return "one seed, no interval" if n == 1 else f"{n} seeds"
