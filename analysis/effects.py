"""How much a level of a factor changes a score: paired differences, effect sizes, and correction for many of them.

Pairs agree in the seed and in every other factor. The unit of replication is the seed: the differences of one seed,
over the levels of the other factors, are averaged first, so n is the number of seeds. Test frames are not nested
in seeds: every seed is scored on the same frames. `crossed_interval` resamples both.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi, nct, ttest_1samp

from analysis.records import Settings, StudyRecord
from analysis.selection import evaluation_factors, levels, matches, sort_key, train_factors
from analysis.statistics import Difference, by_seed_and_frame, observations, summarise
from usplit_core.settings import Setting

_CONFIDENCE = 0.95
_RESAMPLES = 4999
_FAR = 1000.0  # a t that two seeds reach where they agree to a thousandth of their gain


class EffectSize(NamedTuple):
    """Cohen's d_z, mean over standard deviation of the paired differences, and its 95 % interval; n pairs."""

    n: int
    d_z: float
    interval: tuple[float, float]


class LevelEffect(NamedTuple):
    """One level of a factor against the reference level.

    `p` is that of the paired t-test, `p_holm` corrected for the number of comparisons of its table. What one pair
    cannot tell is None.
    """

    factor: str
    level: Setting
    reference: Setting
    difference: Difference
    size: EffectSize | None
    p: float | None
    p_holm: float | None


class Crossed(NamedTuple):
    """Mean and 95 % interval of paired differences over seeds and test frames, both resampled."""

    seeds: int
    frames: int
    mean: float
    interval: tuple[float, float]


def effect_size(differences: Sequence[float]) -> EffectSize | None:
    """Return Cohen's d_z = mean / standard deviation of paired differences.

    The interval holds the d_z for which the observed t = d_z √n is neither among the smallest nor the largest 2.5 % of
    the noncentral t distribution with n - 1 degrees of freedom; it assumes normal differences. With few pairs
    d_z is too large on average (by a factor of 1.25 for n = 5).

    Returns
    -------
    EffectSize or None
        None for fewer than two pairs, or where all differences are equal.
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    deviation = float(values.std(ddof=1)) if n > 1 else 0.0
    if deviation <= 1e-12 * max(1.0, float(np.abs(values).max(initial=0.0))):
        return None
    d_z = float(values.mean()) / deviation
    t = d_z * float(np.sqrt(n))
    tail = (1 - _CONFIDENCE) / 2
    low, high = (_noncentrality(t, n - 1, level) / float(np.sqrt(n)) for level in (1 - tail, tail))
    return EffectSize(n, d_z, (low, high))


def paired_p(differences: Sequence[float]) -> float | None:
    """Return the p of the paired t-test; None for fewer than two pairs, or where all differences are equal."""
    if effect_size(differences) is None:
        return None
    return float(ttest_1samp(np.asarray(differences, dtype=float), 0.0).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p values corrected for their number by the step-down method of Holm (1979); None stays None."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[index] = largest
    return corrected


def level_effects(
    record: StudyRecord, factor: str, metric: str, *, where: Settings | None = None
) -> tuple[LevelEffect, ...]:
    """Compare every level of a factor with its first one, paired by seed and by the levels of all other factors.

    Parameters
    ----------
    record
        The study.
    factor
        Dotted name of a train or evaluation factor.
    metric
        Key of the metric.
    where
        Keep only runs whose settings have these levels, such as one tiling.

    Returns
    -------
    tuple of LevelEffect
        In the order of the levels; levels without a partner for any of their runs are left out.
    """
    known = levels(record, factor)
    return compare_levels(record, factor, metric, [(level, known[0]) for level in known[1:]], where=where)


def compare_levels(
    record: StudyRecord,
    factor: str,
    metric: str,
    pairs: Sequence[tuple[Setting, Setting]],
    *,
    where: Settings | None = None,
) -> tuple[LevelEffect, ...]:
    """Compare the first level of each pair with the second; see `level_effects`."""
    table = _by_pair(record, factor, metric, where or {})
    found = []
    for level, reference in pairs:
        by_seed, unpaired = _differences(table, level, reference)
        if by_seed:
            found.append((level, reference, by_seed, unpaired))
    p_values = [paired_p(by_seed) for _, _, by_seed, _ in found]
    return tuple(
        LevelEffect(
            factor, level, reference, Difference("seed", summarise(by_seed), unpaired), effect_size(by_seed), p, p_holm
        )
        for (level, reference, by_seed, unpaired), p, p_holm in zip(found, p_values, holm(p_values), strict=True)
    )


def crossed_interval(differences: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of a mean over seeds and test frames, both resampled.

    Seeds and frames are drawn with replacement independently of each other, because each seed is scored on the same
    frames (the pigeonhole bootstrap, Owen 2007). The interval speaks of other trainings on other images.

    Parameters
    ----------
    differences
        Paired differences, (seeds, frames).

    Returns
    -------
    tuple of float, or None
        None with fewer than two seeds or two frames.
    """
    seeds, frames = differences.shape
    if min(seeds, frames) < 2:
        return None
    generator = np.random.default_rng(0)  # the same store gives the same interval
    weights = [generator.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES) / n for n in (seeds, frames)]
    means = np.einsum("rs,sf,rf->r", weights[0], differences, weights[1], optimize=True)
    low, high = np.quantile(means, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return float(low), float(high)


def compare_crossed(record: StudyRecord, metric: str, first: Settings, second: Settings) -> Crossed | None:
    """Return how much higher `metric` is with the settings `first` than with `second`, over seeds and frames.

    Returns
    -------
    Crossed or None
        None with fewer than two seeds or two frames; seeds that lack a frame are left out.
    """
    ours, theirs = by_seed_and_frame(record, metric, first), by_seed_and_frame(record, metric, second)
    shared = ours.keys() & theirs.keys()
    frames = sorted({frame for _, frame in shared}, key=str)
    seeds = [seed for seed in sorted({seed for seed, _ in shared}, key=sort_key)
             if all((seed, frame) in shared for frame in frames)]  # fmt: skip
    matrix = np.array([[ours[seed, frame] - theirs[seed, frame] for frame in frames] for seed in seeds])
    interval = crossed_interval(matrix) if matrix.ndim > 1 else None
    return None if interval is None else Crossed(len(seeds), len(frames), float(matrix.mean()), interval)


_Pair = tuple[Setting, tuple[Setting, ...]]  # the seed, and the levels of the other factors


def _by_pair(record: StudyRecord, factor: str, metric: str, where: Settings) -> dict[Setting, dict[_Pair, float]]:
    others = [name for name in (*train_factors(record), *evaluation_factors(record)) if name != factor]
    table: dict[Setting, dict[_Pair, float]] = defaultdict(dict)
    for row in observations(record, metric):
        if matches(row.settings, where):
            pair = row.seed, tuple(row.settings.get(name) for name in others)
            table[row.settings.get(factor)][pair] = row.value
    return table


def _differences(
    table: Mapping[Setting, Mapping[_Pair, float]], level: Setting, reference: Setting
) -> tuple[list[float], int]:
    """Return one difference a seed, and how many runs have no partner."""
    ours, theirs = table.get(level, {}), table.get(reference, {})
    by_seed: dict[Setting, list[float]] = defaultdict(list)
    for pair in ours.keys() & theirs.keys():
        by_seed[pair[0]].append(ours[pair] - theirs[pair])
    means = [float(np.mean(sorted(by_seed[seed]))) for seed in sorted(by_seed, key=sort_key)]
    return means, len(ours.keys() ^ theirs.keys())


def _noncentrality(t: float, degrees: int, level: float) -> float:
    """Return the noncentrality at which the noncentral t distribution reaches `level` at `t`."""
    if t < 0:
        return -_noncentrality(-t, degrees, 1 - level)  # the mirror image
    if t > _FAR:
        # The normal part is lost in the chi part then: the limit is right to 1 in 10,000, and takes no root.
        return t * float(chi.ppf(1 - level, degrees)) / float(np.sqrt(degrees))
    # Wide enough for the tails of 2.5 %, and no wider: far beyond zero scipy's distribution is NaN.
    return float(brentq(lambda shift: float(nct.cdf(t, degrees, shift)) - level, -4, 4 + 2.5 * t))
