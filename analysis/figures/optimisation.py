"""Progress of a search: the objective of each trial in the order of their starts, and the best so far."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import how_to_run, is_sampled, metric_label
from analysis.style import COLUMN_MM, FAINT, colour
from usplit_core.vocabulary import METRICS, Metric

TITLE = "Progress of the search"
#: Quartile distances below the lower quartile from which a value counts as far off.
_FENCE = 3.0


class Attempt(NamedTuple):
    """One trial: its place in the order, its state, its objective; None where it reported none."""

    number: int
    state: str
    value: float | None


class Optimisation(NamedTuple):
    """What the figure shows.

    `best` is the best value of finished trials up to each number that improved it, `worst_shown` where
    the axis ends on the bad side: beyond it lie trials so far off that the others would be a line.
    """

    metric: Metric
    attempts: tuple[Attempt, ...]
    best: tuple[tuple[int, float], ...]
    worst_shown: float

    @property
    def beyond(self) -> tuple[Attempt, ...]:
        """The trials that lie beyond the axis."""
        sign = _sign(self.metric)
        return tuple(a for a in self.attempts if a.value is not None and sign * a.value < sign * self.worst_shown)


def data(record: StudyRecord) -> Optimisation:
    """Return the objective of every trial of a search.

    Raises
    ------
    NotVaried
        If the study draws no values: its trials come in no meaningful order.
    MissingRuns
        If no finished trial has the objective.
    """
    if not any(is_sampled(record, name) for name in record.train):
        raise NotVaried("The study is no search: it tries what its design names.")
    metric = METRICS[record.objective]
    scores: dict[str, list[float]] = {}
    for row in record.evaluations:
        if metric.key in row.metrics:
            scores.setdefault(row.trial, []).append(row.metrics[metric.key])
    attempts = []
    for number, trial in enumerate(sorted(record.trials, key=lambda trial: trial.started), start=1):
        own = trial.metrics.get(metric.key)
        value = float(np.mean(scores[trial.fingerprint])) if trial.fingerprint in scores else own
        known = value is not None and np.isfinite(value)
        attempts.append(Attempt(number, trial.state, value if known else None))
    best: list[tuple[int, float]] = []
    sign = _sign(metric)
    for attempt in attempts:
        value = attempt.value if attempt.state == "finished" else None
        if value is not None and (not best or sign * value > sign * best[-1][1]):
            best.append((attempt.number, value))
    if not best:
        raise MissingRuns(f"No finished trial has {metric.label}. {how_to_run(record)}")
    values = sign * np.array([attempt.value for attempt in attempts if attempt.value is not None])
    return Optimisation(metric, tuple(attempts), tuple(best), sign * _worst_shown(values))


def _sign(metric: Metric) -> int:
    return -1 if metric.better == "lower" else 1


def _worst_shown(values: NDArray[np.float64]) -> float:
    """Return the outer fence of the low side (Tukey, 1977), or the lowest value where that is higher."""
    lower, upper = np.percentile(values, (25, 75))
    return float(max(values.min(), lower - _FENCE * (upper - lower)))


def draw(data: Optimisation, figure: Figure) -> None:
    """Draw finished trials as dots, pruned ones as open circles, and the best so far as steps."""
    ax = figure.subplots()
    for state, face, edge in (("finished", colour(0), colour(0)), ("pruned", "none", FAINT)):
        found = [a for a in data.attempts if a.state == state and a.value is not None]
        if found:
            within = [(a.number, a.value) for a in found if a.value is not None and a not in data.beyond]
            far = [(a.number, data.worst_shown) for a in found if a in data.beyond]
            _draw_dots(ax, within, "o", face, edge, label=f"{state} ({len(found)})")
            _draw_dots(ax, far, "v" if _sign(data.metric) > 0 else "^", face, edge)
    steps, best = zip(*data.best, strict=True)
    ax.step([*steps, len(data.attempts)], [*best, best[-1]], where="post", color=colour(1), label="best so far")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel("trial, in the order of their starts")
    ax.set_ylabel(metric_label(data.metric))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _draw_dots(
    ax: Axes, points: Sequence[tuple[int, float]], marker: str, face: str, edge: str, *, label: str = "_nolegend_"
) -> None:
    numbers, values = [number for number, _ in points], [value for _, value in points]
    ax.scatter(numbers, values, s=11, linewidths=0.7, marker=marker, facecolors=face, edgecolors=edge, label=label)


def caption(data: Optimisation) -> str:
    """Say what is seen."""
    silent = sum(attempt.value is None for attempt in data.attempts)
    text = (
        f"{metric_label(data.metric)} of each trial of the search (n = {len(data.attempts)} trials) and the best "
        "finished one so far. Pruned trials, drawn open, were stopped early: their values are no results."
    )
    if data.beyond:
        text += f" Arrows: {len(data.beyond)} so far off that they lie beyond the axis."
    return f"{text} Without a value: {silent}." if silent else text


def size_mm(data: Optimisation) -> tuple[float, float]:
    """Return width and height: one column."""
    return COLUMN_MM, 68.0
