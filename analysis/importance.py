"""Which factors matter: ANOVA for designs with levels, Optuna's evaluators for values drawn from ranges.

The two answer different questions, so every result carries the name of its method. Libraries are loaded when a
function is called: `statsmodels` and `optuna` take seconds.
"""

from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np

from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import (
    evaluation_factors,
    how_to_run,
    is_number,
    is_sampled,
    label,
    spans_decades,
    train_factors,
)
from analysis.statistics import observations
from analysis.sums_of_squares import Levels, Square, sums_of_squares
from usplit_core.settings import Setting, format_setting
from usplit_core.vocabulary import METRICS

_FEWEST_DRAWN = 10

Evaluator = Literal["fANOVA", "PED-ANOVA"]
#: What each evaluator answers.
EVALUATORS: dict[Evaluator, str] = {
    "fANOVA": "share of the score's variance over the whole search space that a factor explains, by a random forest",
    "PED-ANOVA": "how well a factor separates the best trials from the others",
}


class Term(NamedTuple):
    """A factor or an interaction of two: its share, and the p of its F test where there is one."""

    label: str
    share: float
    p: float | None


class Importance(NamedTuple):
    """Shares by decreasing size; `residual` is what no term explains, None where the method has none.

    `trials` count trainings, `values` what was analysed (trainings x tilings).
    """

    method: str
    question: str
    metric: str
    terms: tuple[Term, ...]
    residual: float | None
    trials: int
    values: int


def anova(record: StudyRecord, metric: str) -> Importance:
    """Return η² of every factor and of every interaction of two: its sum of squares over the total one.

    Sums of squares are of type II, seeds are blocks. Train factors are tested against the spread between trainings;
    evaluation factors, and what they share with train factors, against the spread within trainings, because the
    tilings of one training are no replicates (a split-plot design). Trials that lack a tiling are left out.

    Raises
    ------
    NotVaried
        If no factor has levels to compare.
    MissingRuns
        If there are too few runs to tell a factor from noise.
    """
    train = [name for name in train_factors(record) if not is_sampled(record, name)]
    evaluate = list(evaluation_factors(record))
    if not train and not evaluate:
        raise NotVaried("No factor of the study has two levels or more.")
    table, tilings = _complete(record, metric, train, evaluate)
    if len(table) < 2:
        raise MissingRuns(f"Fewer than two finished trials have {metric} under every tiling. {how_to_run(record)}")
    values = np.array([[row[key] for key in tilings] for _, _, row in table])  # (trials, tilings)
    # Where all trials of a level have failed, what is left of its factor explains nothing.
    train, levels = _varied(train, [levels for levels, _, _ in table])
    evaluate, tilings = _varied(evaluate, tilings)
    if not train and not evaluate:
        raise MissingRuns(f"No factor has two levels with {metric} of finished trials. {how_to_run(record)}")
    strata = []
    if train:
        between = sums_of_squares(train, levels, values.mean(1), blocks=[seed for _, seed, _ in table])
        strata.append([row._replace(square=row.square * len(tilings)) for row in between])
    if evaluate:
        strata.append(_within(values, train, evaluate, levels, tilings))
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0:
        raise MissingRuns(f"All values of {metric} are equal: there is nothing to explain.")
    terms = [Term(row.label, row.square / total, row.p) for rows in strata for row in rows]
    explained = sum(term.share for term in terms)
    return Importance(
        "ANOVA",
        "η², the share of the score's variance that a factor explains in this design",
        metric,
        tuple(sorted(terms, key=lambda term: -term.share)),
        max(0.0, 1 - explained),
        len(table),
        values.size,
    )


def search_importance(record: StudyRecord, metric: str, evaluator: Evaluator) -> Importance:
    """Return the importance of the factors of a search by one of Optuna's evaluators.

    Raises
    ------
    NotVaried
        If no factor was drawn.
    MissingRuns
        If too few trials have finished, or scikit-learn is not there for fANOVA.
    """
    names = train_factors(record)
    if not names:
        raise NotVaried("No train factor of the study varies.")
    if evaluator == "fANOVA" and find_spec("sklearn") is None:
        raise MissingRuns("fANOVA needs scikit-learn: install it with `pip install scikit-learn`.")
    scores = _score_of_trials(record, metric)
    rows = [(trial.settings, scores[trial.fingerprint]) for trial in record.finished if trial.fingerprint in scores]
    if len(rows) < _FEWEST_DRAWN:
        raise MissingRuns(
            f"{len(rows)} finished trials are too few for {evaluator} ({_FEWEST_DRAWN} or more). {how_to_run(record)}"
        )
    columns = {name: [settings.get(name) for settings, _ in rows] for name in names}
    shares = _ask_optuna(columns, [score for _, score in rows], evaluator, _direction(metric))
    return Importance(
        f"Optuna {evaluator}",
        EVALUATORS[evaluator],
        metric,
        tuple(Term(label(name), share, None) for name, share in sorted(shares.items(), key=lambda item: -item[1])),
        None,
        len(rows),
        len(rows),
    )


_Row = tuple[Levels, Setting, dict[Levels, float]]  # levels of a trial, its seed, value by tiling


def _complete(
    record: StudyRecord, metric: str, train: Sequence[str], evaluate: Sequence[str]
) -> tuple[list[_Row], list[Levels]]:
    """Return the trials that have every tiling, each with its value under each, and the tilings."""
    found: dict[tuple[Levels, Setting], dict[Levels, float]] = defaultdict(dict)
    for row in observations(record, metric):
        levels = tuple(row.settings.get(name) for name in train)
        found[levels, row.seed][tuple(row.settings.get(name) for name in evaluate)] = row.value
    tilings = sorted({tiling for values in found.values() for tiling in values}, key=str)
    whole = [(levels, seed, row) for (levels, seed), row in found.items() if len(row) == len(tilings)]
    return sorted(whole, key=lambda row: str(row[:2])), tilings


def _varied(names: Sequence[str], rows: Sequence[Levels]) -> tuple[list[str], list[Levels]]:
    """Return the names that have two levels or more in `rows`, and the rows without the others."""
    kept = [index for index in range(len(names)) if len({row[index] for row in rows}) > 1]
    return [names[index] for index in kept], [tuple(row[index] for index in kept) for row in rows]


def _within(
    values: Any, train: Sequence[str], evaluate: Sequence[str], levels: Sequence[Levels], tilings: Sequence[Levels]
) -> list[Square]:
    """Return the terms that hold an evaluation factor, tested against the spread within trainings."""
    centred = (values - values.mean(axis=1, keepdims=True)).ravel()
    rows = [(*trial, *tiling) for trial in levels for tiling in tilings]
    wanted = [label(name) for name in evaluate]
    fitted = sums_of_squares([*train, *evaluate], rows, centred, trainings=levels)
    return [row for row in fitted if any(name in row.label.split(" × ") for name in wanted)]


def _direction(metric: str) -> Literal["minimize", "maximize"]:
    return "minimize" if metric in METRICS and METRICS[metric].better == "lower" else "maximize"


def _score_of_trials(record: StudyRecord, metric: str) -> dict[str, float]:
    """Return one value a trial: its own, or the mean over its evaluations."""
    own = {t.fingerprint: t.metrics[metric] for t in record.finished if np.isfinite(t.metrics.get(metric, np.nan))}
    collected: dict[str, list[float]] = defaultdict(list)
    for row in record.evaluations:
        if np.isfinite(row.metrics.get(metric, np.nan)):
            collected[row.trial].append(row.metrics[metric])
    return {name: float(np.mean(values)) for name, values in collected.items()} or own


def _ask_optuna(
    columns: dict[str, list[Setting]],
    scores: Sequence[float],
    evaluator: Evaluator,
    direction: Literal["minimize", "maximize"],
) -> dict[str, float]:
    import optuna

    ranges = {name: _distribution(values) for name, values in columns.items()}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction=direction)
        for index, score in enumerate(scores):
            own = {name: _value(values[index]) for name, values in columns.items()}
            study.add_trial(optuna.trial.create_trial(params=own, distributions=ranges, value=score))
        asked: Any = (
            optuna.importance.FanovaImportanceEvaluator(seed=0)
            if evaluator == "fANOVA"
            else optuna.importance.PedAnovaImportanceEvaluator()
        )
        return dict(optuna.importance.get_param_importances(study, evaluator=asked))
    finally:
        optuna.logging.set_verbosity(verbosity)


def _distribution(values: Sequence[Setting]) -> Any:
    import optuna

    numbers = [value for value in values if isinstance(value, int | float) and is_number(value)]
    if len(numbers) < len(values):
        return optuna.distributions.CategoricalDistribution(sorted({_value(value) for value in values}, key=str))
    low, high, log = min(numbers), max(numbers), spans_decades(numbers)
    if all(isinstance(number, int) for number in numbers):
        return optuna.distributions.IntDistribution(int(low), int(high), log=log)
    return optuna.distributions.FloatDistribution(float(low), float(high), log=log)


def _value(value: Setting) -> Any:
    return value if is_number(value) else format_setting(value)
