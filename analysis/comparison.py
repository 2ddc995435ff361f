"""Tables of differences: the levels of a factor against its first one, and studies against the first one."""

from collections.abc import Sequence
from typing import NamedTuple

from analysis.effects import LevelEffect, effect_size, holm, level_effects, paired_p
from analysis.intervals import format_interval
from analysis.records import MissingRuns, Settings, StudyRecord
from analysis.selection import (
    describe,
    evaluation_factors,
    format_value,
    headline,
    how_to_add,
    is_sampled,
    label,
    metric_label,
    reference_tiling,
    train_factors,
)
from analysis.statistics import Difference, Group, best_group, group, paired_difference
from analysis.tables import Column, Row, Table, format_summary
from analysis.tasks import network_factors, task_factors
from usplit_core.config import EVALUATION_SECTIONS
from usplit_core.vocabulary import Metric

_HOW = (
    "Differences are paired by seed and by the levels of all other factors; n counts seeds, over which the values of "
    "the other factors are averaged first. In brackets 95 % intervals: of the difference by bootstrap over seeds, of "
    "d_z (mean / standard deviation of the differences) by the noncentral t distribution. p: paired t-test; p (Holm): "
    "corrected for the {count} comparisons of this table."
)


class StudyScore(NamedTuple):
    """The best cell of one study, its cost, and how it differs from that of the first study."""

    study: str
    best: Group
    hours: float
    difference: Difference | None


def effects(record: StudyRecord, factors: Sequence[str] = (), metric: Metric | None = None) -> tuple[LevelEffect, ...]:
    """Return the effect of every level of the factors, by default of all but the images, corrected for their number.

    Train factors are compared at the tiling that most trials have, evaluation factors over all tilings.

    Raises
    ------
    MissingRuns
        If a factor that is asked for has fewer than two levels, or nothing can be paired.
    """
    of = metric or headline(record)
    varied = [name for name in (*train_factors(record), *evaluation_factors(record)) if not is_sampled(record, name)]
    for name in factors:
        if name not in varied:
            kind = "evaluation" if _is_evaluation(name) else "train"
            raise MissingRuns(how_to_add(record, name, kind=kind))
    found = [
        effect
        for name in factors or [name for name in varied if name not in task_factors(record)]
        for effect in level_effects(record, name, of.key, where=_where(record, name, of))
    ]
    if not found:
        raise MissingRuns(f"No two levels of a factor of {record.name} share a seed and the other factors.")
    corrected = holm([effect.p for effect in found])
    return tuple(effect._replace(p_holm=p) for effect, p in zip(found, corrected, strict=True))


def effects_table(found: Sequence[LevelEffect], metric: Metric) -> Table:
    """Return a row an effect: difference and d_z with intervals, p before and after correction, n."""
    headings = ("factor", "level", "against", f"difference in {metric_label(metric)}", "d_z", "p", "p (Holm)", "n")
    rows = [
        Row(
            (
                label(effect.factor),
                format_value(effect.factor, effect.level),
                format_value(effect.factor, effect.reference),
                format_interval(effect.difference.summary.mean, effect.difference.summary.interval, signed=True),
                "–" if effect.size is None else format_interval(effect.size.d_z, effect.size.interval),
                format_p(effect.p),
                format_p(effect.p_holm),
                str(effect.difference.summary.n),
            ),
            False,
        )
        for effect in found
    ]
    columns = tuple(Column(text, "left" if index < 3 else "right") for index, text in enumerate(headings))
    return Table(columns, tuple(rows), _HOW.format(count=len(rows)))


def study_scores(records: Sequence[StudyRecord], metric: Metric | None = None) -> tuple[StudyScore, ...]:
    """Return the best cell of every study, paired by seed with the best cell of the first study.

    Raises
    ------
    MissingRuns
        If a study has no result for the metric.
    """
    found: list[StudyScore] = []
    for record in records:
        of = metric or headline(record)
        names, tasks = network_factors(record), task_factors(record)
        groups = group(record, of.key, names, where=_where(record, "", of), within=tasks)
        if not groups:
            raise MissingRuns(f"No finished trial of {record.name} has {of.label}.")
        best = best_group(groups, of.key)
        hours = sum(trial.metrics.get("cost/train_seconds", 0.0) for trial in record.trials) / 3600
        first = found[0].best if found else None
        difference = None if first is None else _pair(best, first)
        found.append(StudyScore(record.name, best, hours, difference))
    return tuple(found)


def studies_table(found: Sequence[StudyScore], metric: Metric) -> Table:
    """Return a row a study: its best cell, score, and difference from the first study."""
    headings = ("study", "best cell", metric_label(metric), "n", "difference from the first", "d_z", "p (Holm)",
                "training (h)")  # fmt: skip
    pairs = [list(_values(score, found[0])) for score in found]
    corrected = holm([paired_p(values) if index else None for index, values in enumerate(pairs)])
    rows = [
        Row(
            (
                score.study,
                describe(score.best.levels) or "all trials",
                format_summary(score.best.summary, metric.key),
                str(score.best.summary.n),
                _difference(score),
                "–" if not index or (size := effect_size(values)) is None else format_interval(size.d_z, size.interval),
                format_p(p),
                f"{score.hours:.2f}",
            ),
            False,
        )
        for index, (score, values, p) in enumerate(zip(found, pairs, corrected, strict=True))
    ]
    columns = tuple(Column(text, "left" if index < 2 else "right") for index, text in enumerate(headings))
    note = (
        "Mean ± standard deviation over n seeds of the cell with the best mean, at the tiling that most trials of the "
        "study have; chosen on the test frames, which flatters it. Differences are paired by seed, in brackets the "
        "95 % bootstrap interval; where the images vary, means over all of them. They mean something only where the "
        "studies have the same test frames."
    )
    return Table(columns, tuple(rows), note)


def format_p(p: float | None) -> str:
    """Return a p value; a dash where there is none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _where(record: StudyRecord, factor: str, metric: Metric) -> Settings:
    if _is_evaluation(factor) or not metric.key.startswith("test/"):
        return {}
    return reference_tiling(record)


def _is_evaluation(name: str) -> bool:
    return name.partition(".")[0] in EVALUATION_SECTIONS


def _pair(best: Group, first: Group) -> Difference | None:
    ours, theirs = (dict(zip(item.seeds, item.values, strict=True)) for item in (best, first))
    return paired_difference(ours, theirs, unit="seed")


def _values(score: StudyScore, first: StudyScore) -> list[float]:
    theirs = dict(zip(first.best.seeds, first.best.values, strict=True))
    pairs = zip(score.best.seeds, score.best.values, strict=True)
    return [value - theirs[seed] for seed, value in pairs if seed in theirs]


def _difference(score: StudyScore) -> str:
    if score.difference is None:
        return "–"
    summary = score.difference.summary
    return f"{format_interval(summary.mean, summary.interval, signed=True)}, n = {summary.n}"
