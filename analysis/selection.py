"""Which factors vary in a study, in which order their levels go, and how to speak of them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import cast

from analysis.records import Evaluation, MissingRuns, Settings, StudyRecord
from usplit_core.config import EVALUATION_SECTIONS
from usplit_core.settings import DEFAULT_VALUES, SETTINGS, Setting, format_setting, setting
from usplit_core.vocabulary import HEADLINE, METRICS, Metric, metric

_LOG_FROM_RATIO = 20
_KEPT = 128  # questions about a study whose answers are kept: every figure asks the same ones


@lru_cache(_KEPT)
def train_factors(record: StudyRecord) -> tuple[str, ...]:
    """Return the train factors that have two or more levels in the store; a seed is none."""
    return tuple(name for name in record.train if name != "train.seed" and len(levels(record, name)) > 1)


def is_sampled(record: StudyRecord, factor: str) -> bool:
    """Say whether the values of a train factor were drawn from a range, so that they are no levels to group by."""
    return factor in record.train and not record.train[factor]


@lru_cache(_KEPT)
def evaluation_factors(record: StudyRecord) -> tuple[str, ...]:
    """Return the evaluation factors that have two or more levels in the store."""
    names = [name for name in SETTINGS if name.partition(".")[0] in EVALUATION_SECTIONS]
    return tuple(name for name in names if len(levels(record, name)) > 1)


@lru_cache(_KEPT)
def levels(record: StudyRecord, factor: str) -> tuple[Setting, ...]:
    """Return the levels of `factor` that the store has: in the order of the search space, numbers by size."""
    rows = record.evaluations if factor.partition(".")[0] in EVALUATION_SECTIONS else record.trials
    present = {row.settings[factor] for row in rows if factor in row.settings}
    declared = [*record.train.get(factor, ()), *record.evaluate.get(factor, ())]
    if all(is_number(level) for level in present):
        return tuple(sorted(present, key=sort_key))
    return tuple(sorted(present, key=lambda level: (position(level, declared), sort_key(level))))


def position(value: Setting, order: Iterable[Setting]) -> int:
    """Return the place of `value` in `order`; what is not in it comes last."""
    known = list(order)
    return known.index(value) if value in known else len(known)


def cells(record: StudyRecord, factors: Sequence[str]) -> list[dict[str, Setting]]:
    """Return the combinations of the levels of `factors` that trials have, the first factor varying slowest."""
    present = {tuple(trial.settings.get(name) for name in factors) for trial in record.trials}
    return [dict(zip(factors, key, strict=True)) for key in in_order_of_levels(record, factors, present)]


def in_order_of_levels(
    record: StudyRecord, factors: Sequence[str], keys: Iterable[tuple[Setting, ...]]
) -> list[tuple[Setting, ...]]:
    """Sort combinations of settings by levels, the first factor varying slowest; what is no level comes last."""
    places = [{level: place for place, level in enumerate(levels(record, name))} for name in factors]
    return sorted(
        keys, key=lambda key: [known.get(value, len(known)) for value, known in zip(key, places, strict=True)]
    )


def sort_key(value: Setting) -> tuple[bool, float, str]:
    """Return what settings are sorted by: numbers first, by size, then texts."""
    if isinstance(value, int | float) and is_number(value):
        return False, float(value), ""
    return True, 0.0, format_setting(value)


def is_number(value: Setting) -> bool:
    """Say whether `value` has a place on a numeric axis; True and False have none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def spans_decades(numbers: Sequence[float]) -> bool:
    """Say whether positive numbers differ so much that an axis should be logarithmic."""
    return min(numbers) > 0 and max(numbers) / min(numbers) >= _LOG_FROM_RATIO


def reference_tiling(record: StudyRecord) -> dict[str, Setting]:
    """Return the one tiling at which trials are compared: the one that most trials have.

    Of several, it is the one nearest to the default. It never depends on a score, so that comparing
    trials is no choice of the best tiling on test frames.

    Raises
    ------
    MissingRuns
        If nothing has been evaluated.
    """
    return dict(_reference_tiling(record))


@lru_cache(_KEPT)
def _reference_tiling(record: StudyRecord) -> tuple[tuple[str, Setting], ...]:
    """See `reference_tiling`."""
    require_evaluations(record)
    names = [name for name in SETTINGS if name.partition(".")[0] in EVALUATION_SECTIONS]
    trials: Counter[tuple[Setting, ...]] = Counter(
        tuple(row.settings.get(name) for name in names) for row in record.evaluations
    )

    def rank(key: tuple[Setting, ...]) -> tuple[int, list[tuple[float, int]]]:
        return -trials[key], [_from_default(record, name, value) for name, value in zip(names, key, strict=True)]

    nearest = min(trials, key=rank)
    return tuple(zip(names, nearest, strict=True))


def _from_default(record: StudyRecord, name: str, value: Setting) -> tuple[float, int]:
    """Return how far a setting lies from its default, and of equally far ones which comes first."""
    default = DEFAULT_VALUES[name]
    if is_number(value) and is_number(default):
        distance = abs(cast(float, value) - cast(float, default))
    else:
        distance = 0.0 if value == default else math.inf
    return distance, position(value, levels(record, name))


def require_evaluations(record: StudyRecord) -> None:
    """Raise `MissingRuns` unless some trial has been evaluated."""
    if not record.evaluations:
        raise MissingRuns(f"No trial of the study has been evaluated yet. {how_to_run(record)}")


def how_to_run(record: StudyRecord) -> str:
    """Return the sentence that says how to get missing runs."""
    return f"Run the search space of {record.name} again with `usplit run`: finished trials are kept, others resume."


def how_to_add(record: StudyRecord, factor: str, *, kind: str) -> str:
    """Return the sentences that say how to give a study a factor that it does not vary."""
    kept = "nothing is trained again" if kind == "evaluation" else "finished trials are kept"
    return (
        f"This study has fewer than two levels of {factor}. Add levels of it to the {kind} factors of the study "
        f"and run the search space of {record.name} again with `usplit run`: {kept}."
    )


@lru_cache(_KEPT)
def headline(record: StudyRecord) -> Metric:
    """Return the metric that figures and verdict are about: the paper's, else the study's objective on test frames.

    Raises
    ------
    MissingRuns
        If no evaluation has either of them.
    """
    require_evaluations(record)
    reported = {key for row in record.evaluations for key in row.metrics}
    for key in (HEADLINE.key, record.objective):
        if key in METRICS and key in reported:
            return metric(key)
    raise MissingRuns(f"No evaluation has {HEADLINE.key} or {record.objective}. {how_to_run(record)}")


def memory_metric(record: StudyRecord) -> Metric:
    """Return the metric of peak memory: the device's where it has any of its own, else the host's.

    Raises
    ------
    MissingRuns
        If no finished trial has recorded its memory.
    """
    for key in ("cost/peak_device_bytes", "cost/peak_host_bytes"):
        if any(trial.metrics.get(key, 0) > 0 for trial in record.finished):
            return metric(key)
    raise MissingRuns(f"No finished trial has recorded its peak memory. {how_to_run(record)}")


def first_seeds(record: StudyRecord, names: Sequence[str]) -> dict[tuple[Setting, ...], Evaluation]:
    """Return, by the values of `names`, the finished evaluation of the lowest seed.

    Comparing what one seed gives, models differ in what is varied and not in luck.
    """
    finished = {trial.fingerprint for trial in record.finished}
    found: dict[tuple[Setting, ...], Evaluation] = {}
    for row in sorted(record.evaluations, key=lambda row: sort_key(row.seed)):
        if row.trial in finished:
            found.setdefault(tuple(row.settings.get(name) for name in names), row)
    return found


def matches(settings: Settings, wanted: Settings) -> bool:
    """Say whether `settings` has every value that `wanted` names."""
    return wanted.items() <= settings.items()


def pick(settings: Settings, names: Iterable[str]) -> dict[str, Setting]:
    """Return the part of `settings` that `names` lists."""
    return {name: settings.get(name) for name in names}


def format_value(name: str, value: Setting) -> str:
    """Return the value of a setting with its unit, such as ``16 px``."""
    text = "none" if value is None else f"{value:.4g}" if isinstance(value, float) else format_setting(value)
    unit = setting(name).unit if name in SETTINGS and is_number(value) else ""
    return f"{text} {unit}".strip()


def describe(settings: Mapping[str, Setting]) -> str:
    """Return settings in words, such as ``LC depth 2, padding 16 px``."""
    return ", ".join(f"{label(name)} {format_value(name, value)}" for name, value in settings.items())


def describe_tiling(tiling: Settings) -> str:
    """Return a tiling in words, such as ``inner tiling, 16 px padding``; one posterior sample goes unsaid."""
    text = f"{tiling['tiling.mode']} tiling, {format_value('tiling.padding_px', tiling['tiling.padding_px'])} padding"
    if tiling.get("tiling.stride_px") is not None:
        text += f", {format_value('tiling.stride_px', tiling['tiling.stride_px'])} stride"
    if tiling.get("tiling.border") is not None:
        text += f", border {tiling['tiling.border']}"
    if tiling.get("tiling.remainder") == "left_out":
        text += ", remainder left out"
    if tiling.get("tiling.precision", "float32") != "float32":
        text += f", predicted in {tiling['tiling.precision']}"
    samples = tiling.get("tiling.samples", 1)
    return text if samples == 1 else f"{text}, mean of {samples} posterior samples"


def label(name: str) -> str:
    """Return the words for a setting; the name itself where another version wrote it."""
    return setting(name).label if name in SETTINGS else name


def axis_label(name: str) -> str:
    """Return the label of an axis that shows a setting, with its unit."""
    unit = setting(name).unit if name in SETTINGS else ""
    return f"{label(name)} ({unit})" if unit else label(name)


def metric_label(of: Metric) -> str:
    """Return the label of an axis that shows a metric, with its unit."""
    return f"{of.label} ({of.unit})" if of.unit else of.label
