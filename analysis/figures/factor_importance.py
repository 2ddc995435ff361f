"""Which factors matter: η² of an ANOVA for designs with levels, Optuna's evaluators by name for searches."""

import textwrap
from typing import NamedTuple

from matplotlib.figure import Figure

from analysis.importance import EVALUATORS, Importance, anova, search_importance
from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import evaluation_factors, headline, how_to_run, is_sampled, train_factors
from analysis.style import COLUMN_MM, PAGE_MM, colour
from usplit_core.vocabulary import METRICS

TITLE = "Importance of the factors"
_MOST = 12
_SIGNIFICANT = 0.05


class FactorImportance(NamedTuple):
    """What the figure shows: a panel a method; `left_out` counts terms with smaller shares than those shown."""

    panels: tuple[Importance, ...]
    left_out: int


def data(record: StudyRecord) -> FactorImportance:
    """Return η² where factors have levels, else what Optuna's evaluators say of the values that were drawn.

    Raises
    ------
    NotVaried
        If fewer than two factors vary: one alone explains all that is explained.
    MissingRuns
        If there are too few runs.
    """
    if not any(is_sampled(record, name) for name in train_factors(record)):
        if len((*train_factors(record), *evaluation_factors(record))) < 2:
            raise NotVaried("Fewer than two factors of the study vary.")
        found = anova(record, headline(record).key)
        if len(found.terms) < 2:
            raise MissingRuns(f"Fewer than two factors have finished trials at two levels. {how_to_run(record)}")
        return FactorImportance((found._replace(terms=found.terms[:_MOST]),), max(0, len(found.terms) - _MOST))
    panels, problems = [], []
    key = record.objective if record.objective in METRICS else headline(record).key
    for evaluator in EVALUATORS:
        try:
            panels.append(search_importance(record, key, evaluator))
        except NotVaried:
            raise
        except MissingRuns as missing:
            problems.append(missing)
    if not panels:
        raise problems[0]
    return FactorImportance(tuple(panel._replace(terms=panel.terms[:_MOST]) for panel in panels), 0)


def draw(data: FactorImportance, figure: Figure) -> None:
    """Draw a bar a term, the largest on top."""
    axes = figure.subplots(1, len(data.panels), squeeze=False)[0]
    for index, (ax, panel) in enumerate(zip(axes, data.panels, strict=True)):
        names = [textwrap.fill(term.label, 34) for term in panel.terms]
        bars = ax.barh(range(len(names)), [term.share for term in panel.terms], color=colour(index), height=0.62)
        texts = [f"{_percent(term.share)}{_mark(term.p)}" for term in panel.terms]
        ax.bar_label(bars, texts, padding=2, fontsize=6)
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.set_xlim(0, max(term.share for term in panel.terms) * 1.28 or 1)
        ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_title(panel.method if len(data.panels) > 1 else "")
        ax.set_xlabel("η²" if panel.method == "ANOVA" else "importance")


def caption(data: FactorImportance) -> str:
    """Say what is seen, by which method."""
    first = data.panels[0]
    methods = "; ".join(f"{panel.method}: {panel.question}" for panel in data.panels)
    text = f"{METRICS[first.metric].label}: {methods} (n = {first.trials} trainings"
    text += f", {first.values} values)." if first.values != first.trials else ")."
    if first.residual is not None:
        text += (
            f" Seeds and what no term explains: {_percent(first.residual)}. × marks an interaction, * an F test with "
            "p < 0.05, not corrected for the number of terms."
        )
    return f"{text} {data.left_out} smaller terms are left out." if data.left_out else text


def size_mm(data: FactorImportance) -> tuple[float, float]:
    """Return width and height: a row a term."""
    rows = max(len(panel.terms) for panel in data.panels)
    return (COLUMN_MM if len(data.panels) == 1 else PAGE_MM), 22.0 + 6.0 * rows


def _percent(share: float) -> str:
    return "< 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _mark(p: float | None) -> str:
    return " *" if p is not None and p < _SIGNIFICANT else ""
