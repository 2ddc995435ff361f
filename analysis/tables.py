"""The results table of a study as data, and any table as text, Markdown, LaTeX, CSV and HTML."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from analysis.html import Safe, tag
from analysis.records import MissingRuns, StudyRecord
from analysis.selection import (
    axis_label,
    evaluation_factors,
    format_value,
    how_to_run,
    is_number,
    levels,
    metric_label,
    train_factors,
)
from analysis.statistics import Group, Summary, best_group, group
from usplit_core.settings import Setting
from usplit_core.vocabulary import HEADLINE, METRICS, metric

#: What a table reports where the store has it.
SCORES = (HEADLINE.key, "test/psnr_db", "test/ssim")
_DECIMALS = {"dB": 2, "": 3, "s": 1}
_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",  # LaTeX's own fonts have other signs there
    "±": r"$\pm$", "µ": r"\textmu{}",
}  # fmt: skip


class Column(NamedTuple):
    """A heading; numbers stand to the right."""

    heading: str
    align: Literal["left", "right"]


class Row(NamedTuple):
    """Texts in the order of the columns; `best` marks the row with the best mean of the first score."""

    cells: tuple[str, ...]
    best: bool


class Table(NamedTuple):
    """What every renderer takes; `note` says what the spread is."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str


def results_table(record: StudyRecord, metrics: Sequence[str] = SCORES) -> Table:
    """Return one row for each combination of varying factors: mean ± standard deviation over seeds, and n.

    Raises
    ------
    MissingRuns
        If no finished run has one of `metrics`.
    """
    factors = (*train_factors(record), *evaluation_factors(record))
    grouped = {key: group(record, key, factors) for key in metrics}
    present = {key: {tuple(item.levels.values()): item for item in found} for key, found in grouped.items() if found}
    if not present:
        raise MissingRuns(f"No finished run has {' or '.join(metrics)}. {how_to_run(record)}")
    first = next(iter(present))
    best = best_group(list(present[first].values()), first)
    columns = [
        *(Column(axis_label(name), _align(record, name)) for name in factors),
        *(Column(metric_label(metric(key)), "right") for key in present),
        Column("n", "right"),
    ]
    rows = [
        Row(
            (
                *(_level(name, value) for name, value in item.levels.items()),
                *(_score(found.get(key_levels), key) for key, found in present.items()),
                str(item.summary.n),
            ),
            item is best and len(present[first]) > 1,
        )
        for key_levels, item in present[first].items()
    ]
    return Table(tuple(columns), tuple(rows), "Mean ± standard deviation over n seeds; the best row is marked.")


def format_summary(summary: Summary, key: str) -> str:
    """Return ``mean ± standard deviation`` of the metric `key`; the mean alone where there is one seed."""
    places = _DECIMALS.get(METRICS[key].unit, 2) if key in METRICS else 3
    mean = f"{summary.mean:.{places}f}"
    return mean if summary.standard_deviation is None else f"{mean} ± {summary.standard_deviation:.{places}f}"


def to_text(table: Table) -> str:
    """Return the table for a terminal, columns aligned, the best row marked with an asterisk."""
    lines = [tuple(column.heading for column in table.columns), *(row.cells for row in table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    marks = [" ", *("*" if row.best else " " for row in table.rows)]
    body = [
        f"{mark} " + "  ".join(_pad(text, widths[i], table.columns[i].align) for i, text in enumerate(line))
        for mark, line in zip(marks, lines, strict=True)
    ]
    rule = "-" * (sum(widths) + 2 * len(widths))
    return "\n".join([body[0], rule, *body[1:], "", table.note.replace("is marked", "has an asterisk")])


def to_markdown(table: Table) -> str:
    """Return the table in Markdown, the best row in bold."""
    rule = ["---:" if column.align == "right" else ":---" for column in table.columns]
    rows = [[_mark(text, row.best, "**{}**", _markdown) for text in row.cells] for row in table.rows]
    lines = [[_markdown(column.heading) for column in table.columns], rule, *rows]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", table.note])


def to_latex(table: Table) -> str:
    """Return the table as a LaTeX ``tabular`` with booktabs rules, the best row in bold."""
    rows = [[_mark(text, row.best, r"\textbf{{{}}}", _latex) for text in row.cells] for row in table.rows]
    spec = "".join(column.align[0] for column in table.columns)
    heading = " & ".join(_latex(column.heading) for column in table.columns)
    body = "\n".join(f"{' & '.join(row)} \\\\" for row in rows)
    return "\n".join([
        f"% {table.note}",
        f"\\begin{{tabular}}{{{spec}}}",
        "\\toprule",
        f"{heading} \\\\",
        "\\midrule",
        body,
        "\\bottomrule",
        "\\end{tabular}",
    ])  # fmt: skip


def to_csv(table: Table) -> str:
    """Return the table as comma-separated values; texts are quoted where they need it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.heading for column in table.columns])
    writer.writerows(row.cells for row in table.rows)
    return text.getvalue()


def to_html(table: Table) -> Safe:
    """Return the table as escaped HTML, the best row with the class ``best``."""
    heading = tag("tr", *(tag("th", column.heading, scope="col", class_=column.align) for column in table.columns))
    rows = [
        tag(
            "tr",
            *(tag("td", text, class_=column.align) for text, column in zip(row.cells, table.columns, strict=True)),
            class_="best" if row.best else None,
        )
        for row in table.rows
    ]
    return tag("table", tag("thead", heading), tag("tbody", *rows))


def _align(record: StudyRecord, factor: str) -> Literal["left", "right"]:
    return "right" if all(is_number(level) for level in levels(record, factor)) else "left"


def _level(name: str, value: Setting) -> str:
    # The heading has the unit.
    return format_value("", value) if is_number(value) else format_value(name, value)


def _score(item: Group | None, key: str) -> str:
    return "–" if item is None else format_summary(item.summary, key)


def _pad(text: str, width: int, align: str) -> str:
    return text.rjust(width) if align == "right" else text.ljust(width)


def _mark(text: str, best: bool, pattern: str, escape: Callable[[str], str]) -> str:
    return pattern.format(escape(text)) if best else escape(text)


def _markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
