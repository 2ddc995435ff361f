"""Means, spreads and intervals over seeds, and differences that are paired by seed or by test frame.

The unit of replication is the seed: values that share one are averaged first, so n is always the
number of seeds (or of test frames, where a function says so). One value has no interval.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.records import Evaluation, Settings, StudyRecord, Trial
from analysis.selection import in_order_of_levels, matches, sort_key
from analysis.tasks import TASK
from usplit_core.config import EVALUATION_SECTIONS
from usplit_core.settings import Setting
from usplit_core.vocabulary import metric as metric_of

_CONFIDENCE = 0.95
_RESAMPLES = 9999
#: Below this many values a bootstrap interval is narrower than its name says.
FEW = 5


#: A test frame: of which images, and its number among them.
Frame = tuple[tuple[Setting, ...], int]


class Summary(NamedTuple):
    """Centre and spread of n values; spread and interval are None where one value cannot tell them."""

    n: int
    mean: float
    standard_deviation: float | None
    standard_error: float | None
    interval: tuple[float, float] | None


class Observation(NamedTuple):
    """One value of a metric, with the settings that it belongs to."""

    settings: Settings
    seed: Setting
    value: float


class Group(NamedTuple):
    """The values of one combination of levels: one value a seed, and their summary."""

    levels: Settings
    seeds: tuple[Setting, ...]
    values: tuple[float, ...]
    summary: Summary


class Difference(NamedTuple):
    """Summary of paired differences, and how many values had no partner and were left out."""

    unit: Literal["seed", "frame"]
    summary: Summary
    unpaired: int


_Seeds = Mapping[Setting, Mapping[tuple[Setting, ...], list[float]]]  # values by seed and block


def summarise(values: Sequence[float]) -> Summary:
    """Return mean, standard deviation, standard error and percentile-bootstrap 95 % interval of `values`.

    Raises
    ------
    ValueError
        If there is no value.
    """
    if not values:
        raise ValueError("values is empty: a summary needs at least one value")
    return _summarise(tuple(float(value) for value in values))


@lru_cache(maxsize=2**14)
def _summarise(values: tuple[float, ...]) -> Summary:
    """See `summarise`; the same values come back with every figure and table."""
    array = np.array(values)
    if len(array) == 1:
        return Summary(1, float(array[0]), None, None, None)
    deviation = float(array.std(ddof=1))
    interval = _percentiles(array)
    return Summary(len(array), float(array.mean()), deviation, deviation / float(np.sqrt(len(array))), interval)


def _percentiles(array: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of the means of all resamples, as `numpy.quantile` does."""
    weights, counts = _resampling_weights(len(array))
    means = weights @ array
    order = np.argsort(means)
    last = np.cumsum(counts[order]) - 1  # place of each mean's last repetition in the sorted list of all
    places = np.array([(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2]) * (_RESAMPLES - 1)
    below, above = (means[order[np.searchsorted(last, edge(places))]] for edge in (np.floor, np.ceil))
    low, high = below + (above - below) * (places % 1)
    return float(low), float(high)


@lru_cache(maxsize=32)
def _resampling_weights(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return how much each of n values counts in each distinct resample, (resamples, n), and how often it was drawn.

    `scipy.stats.bootstrap` gives the same interval (a test compares them), but draws anew for each of thousands of
    cells. Five values have only 126 distinct resamples, so sorting their means takes no time. The generator is fixed:
    the same store gives the same interval every time it is read.
    """
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)
    distinct, counts = np.unique(drawn, axis=0, return_counts=True)
    return distinct / n, counts


@lru_cache(maxsize=16)
def observations(record: StudyRecord, metric: str) -> tuple[Observation, ...]:
    """Return every finite value of `metric`: of evaluations where they have it, else of trials.

    Only finished trials count: the scores of a pruned or interrupted training are no result.
    """
    finished = {trial.fingerprint for trial in record.finished}
    evaluations = [row for row in record.evaluations if row.trial in finished and metric in row.metrics]
    trials = [row for row in record.finished if metric in row.metrics]
    rows: Sequence[Evaluation | Trial] = evaluations or trials
    return tuple(
        Observation(_own_settings(row), row.seed, row.metrics[metric])
        for row in rows
        if np.isfinite(row.metrics[metric])
    )


def group(
    record: StudyRecord,
    metric: str,
    factors: Sequence[str],
    *,
    where: Settings | None = None,
    within: Sequence[str] = (),
) -> list[Group]:
    """Summarise `metric` over seeds for every combination of the levels of `factors` that the store has.

    Parameters
    ----------
    record
        The study.
    metric
        Key of the metric.
    factors
        Dotted names; the values of the factors that are left out are averaged within each seed.
    where
        Keep only values whose settings have these levels.
    within
        Names of factors that every seed must have all levels of, such as the images: a mean over some of them would
        say which they are rather than how good the network is. Other seeds are left out.

    Returns
    -------
    list of Group
        In the order of the levels, the first factor varying slowest.
    """
    return list(_groups(record, metric, tuple(factors), tuple((where or {}).items()), tuple(within)))


@lru_cache(maxsize=64)
def _groups(
    record: StudyRecord,
    metric: str,
    factors: tuple[str, ...],
    where: tuple[tuple[str, Setting], ...],
    within: tuple[str, ...],
) -> tuple[Group, ...]:
    """See `group`; several figures and tables ask for the same groups."""
    collected: dict[tuple[Setting, ...], _Seeds] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    wanted = dict(where)
    for row in observations(record, metric):
        if matches(row.settings, wanted):
            key, block = (tuple(row.settings.get(name) for name in names) for names in (factors, within))
            collected[key][row.seed][block].append(row.value)
    blocks = {block for seeds in collected.values() for values in seeds.values() for block in values}
    keys = in_order_of_levels(record, factors, collected)
    found = (_group(dict(zip(factors, key, strict=True)), collected[key], len(blocks)) for key in keys)
    return tuple(item for item in found if item is not None)


def best_group(groups: Sequence[Group], key: str) -> Group:
    """Return the group with the best mean of the metric `key`."""
    sign = -1 if metric_of(key).better == "lower" else 1
    return max(groups, key=lambda item: sign * item.summary.mean)


def paired_difference(
    first: Mapping[Any, float], second: Mapping[Any, float], *, unit: Literal["seed", "frame"] = "seed"
) -> Difference | None:
    """Summarise first - second over the keys that both have; None where they share no key."""
    shared = sorted(first.keys() & second.keys(), key=str)
    if not shared:
        return None
    summary = summarise([first[key] - second[key] for key in shared])
    return Difference(unit, summary, len(first.keys() ^ second.keys()))


def compare(
    record: StudyRecord, metric: str, first: Settings, second: Settings, *, unit: Literal["seed", "frame"] = "seed"
) -> Difference | None:
    """Summarise how much higher `metric` is with the settings `first` than with `second`.

    Runs are paired by seed; with ``unit="frame"`` also by test frame. The interval then speaks of
    other images (unit frame, averaged over seeds) or of other trainings (unit seed, averaged over frames).

    Returns
    -------
    Difference or None
        None where no seed, or no frame, has both.
    """
    if unit == "seed":
        return paired_difference(_by_seed(record, metric, first), _by_seed(record, metric, second), unit=unit)
    ours, theirs = by_seed_and_frame(record, metric, first), by_seed_and_frame(record, metric, second)
    by_frame: dict[Frame, list[float]] = defaultdict(list)
    for seed, frame in ours.keys() & theirs.keys():
        by_frame[frame].append(ours[seed, frame] - theirs[seed, frame])
    if not by_frame:
        return None
    summary = summarise([float(np.mean(by_frame[frame])) for frame in sorted(by_frame, key=str)])
    return Difference(unit, summary, len(ours.keys() ^ theirs.keys()))


def is_distinct(difference: Difference) -> bool | None:
    """Say whether the interval leaves out zero; None where there is no interval."""
    interval = difference.summary.interval
    return None if interval is None else not interval[0] <= 0 <= interval[1]


def _own_settings(row: Evaluation | Trial) -> Settings:
    """Return the settings that a result depends on: how it would be tiled says nothing about a training."""
    if isinstance(row, Evaluation):
        return row.settings
    return {name: value for name, value in row.settings.items() if name.partition(".")[0] not in EVALUATION_SECTIONS}


def _group(settings: Settings, by_seed: _Seeds, blocks: int) -> Group | None:
    """Return the mean over blocks of every seed that has all of them; None where none has."""
    seeds = tuple(sorted((seed for seed in by_seed if len(by_seed[seed]) == blocks), key=sort_key))
    if not seeds:
        return None
    values = tuple(_mean([_mean(block) for block in by_seed[seed].values()]) for seed in seeds)
    return Group(settings, seeds, values, summarise(values))


def _mean(values: Sequence[float]) -> float:
    # Most have one value, and numpy takes a hundred times as long to say so.
    return values[0] if len(values) == 1 else float(np.mean(values))


def _by_seed(record: StudyRecord, metric: str, where: Settings) -> dict[Hashable, float]:
    groups = group(record, metric, (), where=where)
    return dict(zip(groups[0].seeds, groups[0].values, strict=True)) if groups else {}


def by_seed_and_frame(record: StudyRecord, metric: str, where: Settings) -> dict[tuple[Setting, Frame], float]:
    """Return the value of every seed and test frame with the settings `where`, mean over structure channels."""
    finished = {trial.fingerprint for trial in record.finished}
    rows = [row for row in record.evaluations if row.trial in finished and matches(row.settings, where)]
    collected: dict[tuple[Setting, Frame], list[float]] = defaultdict(list)
    for row in rows:
        images = tuple(row.settings.get(name) for name in TASK)
        for frame, value in _frame_values(row, metric):
            collected[row.seed, (images, frame)].append(value)
    return {key: float(np.mean(values)) for key, values in collected.items()}


def _frame_values(row: Evaluation, metric: str) -> Iterable[tuple[int, float]]:
    key = metric.removeprefix("test/")
    return [(score.frame, score.scores[key]) for score in row.frames() if np.isfinite(score.scores.get(key, np.nan))]
