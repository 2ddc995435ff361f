"""One self-contained page about a study: question, answer, table, figures, failures, cost, places."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from analysis.figures import FigureResult
from analysis.html import Safe, join, tag
from analysis.records import MissingRuns, StudyRecord, Trial
from analysis.selection import (
    axis_label,
    describe,
    describe_tiling,
    format_value,
    label,
    levels,
    metric_label,
    pick,
    train_factors,
)
from analysis.statistics import group
from analysis.style import COLUMN_MM
from analysis.tables import results_table, to_html
from analysis.verdict import Gain, Verdict, caveats, format_difference, gains, in_words, verdict
from usplit_core.errors import OutputError
from usplit_core.settings import SETTINGS
from usplit_core.vocabulary import Metric

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_COLUMN_PX = COLUMN_MM / 25.4 * 300 * 1.05  # pixels of a figure of one column, as `style` saves it


def write_report(
    record: StudyRecord,
    figures: Sequence[FigureResult],
    folder: Path,
    *,
    places: Mapping[str, str],
    notes: Sequence[str] = (),
) -> Path:
    """Write ``folder/report.html``, which needs no other file, and return its path.

    Parameters
    ----------
    record
        The study.
    figures
        What `analysis.figures.draw_figures` returned.
    folder
        Is made if need be; a report that lies there is replaced.
    places
        What lies where, and the commands to go on: words -> path, address or command.
    notes
        Sentences for the reader that the store does not know.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    path = folder / "report.html"
    page = _page(record, figures, places, notes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / ".report.html.unfinished"
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}): name a folder that you may write to") from error
    return path


def _page(record: StudyRecord, figures: Sequence[FigureResult], places: Mapping[str, str], notes: Sequence[str]) -> str:
    css = files("analysis").joinpath("report.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"{record.name}: report"),
        tag("style", Safe(css)),
    )
    found = _verdict(record)
    sections = (
        _answer(found, notes),
        _facts(record),
        _results(record, found),
        _figures(figures),
        _failures(record),
        _cost(record),
        _settings(record),
        _places(places),
    )
    header = tag("header", tag("h1", record.name), tag("p", record.question, class_="lead"))
    body = tag("body", header, tag("main", *sections))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _section(title: str, *children: str | None) -> Safe:
    return tag("section", tag("h2", title), *children)


def _verdict(record: StudyRecord) -> Verdict | MissingRuns:
    try:
        return verdict(record)
    except MissingRuns as missing:
        return missing


def _answer(found: Verdict | MissingRuns, notes: Sequence[str]) -> Safe:
    if isinstance(found, MissingRuns):
        return tag("div", tag("p", str(found)), *_note_lines(notes), class_="verdict")
    return tag("div", tag("p", in_words(found)), *_note_lines([*caveats(found), *notes]), class_="verdict")


def _note_lines(notes: Sequence[str]) -> list[Safe]:
    return [tag("p", note, class_="note") for note in notes]


def _facts(record: StudyRecord) -> Safe:
    unfinished = len(record.trials) - len(record.finished)
    seeds = {trial.seed for trial in record.trials}
    facts = [
        (str(len(record.finished)), "trials finished"),
        (str(unfinished), "trials not finished"),
        (str(len(record.evaluations)), "evaluations"),
        (str(len(seeds)), "seeds"),
        (_duration(sum(_seconds(trial) for trial in record.trials)), "of training in all"),
    ]
    return tag("ul", *(tag("li", tag("b", number), words) for number, words in facts), class_="facts")


def _results(record: StudyRecord, found: Verdict | MissingRuns) -> Safe:
    try:
        table = results_table(record)
    except MissingRuns as missing:
        return _section("Results", tag("p", str(missing), class_="missing"))
    note = tag("p", table.note, class_="note")
    return _section("Results", tag("div", to_html(table), class_="scroll"), note, _gains(record, found))


def _gains(record: StudyRecord, found: Verdict | MissingRuns) -> Safe | None:
    """Return each cell's difference from the reference; None where the verdict has said it all."""
    if isinstance(found, MissingRuns) or found.reference is None:
        return None
    others = gains(record, found)
    if len(others) < 2:
        return None
    rows = [
        tag("tr", tag("td", describe(gain.levels)), tag("td", _gain(gain, found.metric), class_="right"))
        for gain in others
    ]
    title = f"Difference from {describe(found.reference.levels)}"
    words = f"{metric_label(found.metric)}, {describe_tiling(found.tiling)}; in brackets the 95 % bootstrap interval."
    table = _table(("cell", "difference, paired by seed"), rows, right_from=1)
    return join(tag("h3", title), table, tag("p", words, class_="note"))


def _gain(gain: Gain, of: Metric) -> str:
    return "no seed in common" if gain.difference is None else format_difference(gain.difference, of)


def _figures(figures: Sequence[FigureResult]) -> Safe:
    drawn = [_figure(number, figure) for number, figure in enumerate((f for f in figures if f.png), start=1)]
    missing = [
        tag("p", tag("b", f"{figure.title}: "), figure.missing, class_="missing")
        for figure in figures
        if not figure.png
    ]
    heading = tag("h3", "Figures without data") if missing else None
    return _section("Figures", *drawn, heading, *missing)


def _figure(number: int, figure: FigureResult) -> Safe:
    if figure.png is None:
        return Safe("")
    pixels = figure.png.read_bytes()
    width = int.from_bytes(pixels[16:20], "big")  # of the PNG header
    image = tag(
        "img",
        src=f"data:image/png;base64,{base64.b64encode(pixels).decode('ascii')}",
        alt=f"{figure.title}. {figure.caption}",
        class_="column" if width <= _COLUMN_PX else None,
    )
    lead = tag("b", f"Figure {number}. {figure.title}. ")
    return tag("figure", image, tag("figcaption", lead, figure.caption))


def _failures(record: StudyRecord) -> Safe:
    rows = [trial for trial in record.trials if trial.state != "finished"]
    if not rows:
        return _section("What failed", tag("p", "Nothing: every trial finished."))
    names = train_factors(record)
    body = [
        tag("tr", tag("td", describe(pick(row.settings, names)) or row.fingerprint[:12]), tag("td", str(row.seed)),
            tag("td", row.state, class_="warn" if row.state == "failed" else None),
            tag("td", row.reason or "no reason recorded"))
        for row in rows
    ]  # fmt: skip
    again = "Running the search space again with `usplit run` tries failed trials again and resumes the others."
    return _section("What failed", _table(("trial", "seed", "state", "reason"), body), tag("p", again, class_="note"))


def _cost(record: StudyRecord) -> Safe:
    names = train_factors(record)
    seconds = group(record, "cost/train_seconds", names)
    if not seconds:
        return _section("Cost", tag("p", "No finished trial has recorded its training time.", class_="missing"))
    parameters = {tuple(item.levels.values()): item for item in group(record, "cost/parameters", names)}
    rows = []
    for item in seconds:
        size = parameters.get(tuple(item.levels.values()))
        cells = (
            describe(item.levels) or "all trials",
            _duration(item.summary.mean),
            _duration(item.summary.mean * item.summary.n),
            f"{size.summary.mean / 1e6:.2f} million" if size else "–",
            str(item.summary.n),
        )
        rows.append(tag("tr", *(tag("td", text, class_="right" if i else None) for i, text in enumerate(cells))))
    headings = ("cell", "training time, mean", "training time, all seeds", "parameters", "n")
    return _section("Cost", _table(headings, rows, right_from=1))


def _settings(record: StudyRecord) -> Safe:
    factors = {**record.train, **record.evaluate}
    varied = [
        tag("tr", tag("td", axis_label(name)), tag("td", tag("code", name)), tag("td", _levels(record, name)))
        for name in factors
    ]
    shared = [
        tag("tr", tag("td", label(name)), tag("td", tag("code", name)), tag("td", format_value(name, values.pop())))
        for name in SETTINGS
        if name not in factors and len(values := {t.settings[name] for t in record.trials if name in t.settings}) == 1
    ]
    return _section(
        "Settings",
        _table(("factor", "name", "levels"), varied) if varied else None,
        tag("details", tag("summary", f"{len(shared)} settings that all trials share"),
            _table(("setting", "name", "value"), shared)),
    )  # fmt: skip


def _levels(record: StudyRecord, name: str) -> str:
    found = levels(record, name) or {**record.train, **record.evaluate}.get(name, ())
    return ", ".join(format_value(name, value) for value in found)


def _places(places: Mapping[str, str]) -> Safe:
    rows = [item for words, place in places.items() for item in (tag("dt", words), tag("dd", _place(place)))]
    return _section("Where everything lies, and how to go on", tag("dl", *rows))


def _place(place: str) -> Safe:
    return tag("a", place, href=place) if place.startswith(("http://", "https://")) else tag("code", place)


def _table(headings: Sequence[str], rows: Sequence[Safe], *, right_from: int | None = None) -> Safe:
    first = len(headings) if right_from is None else right_from
    heads = (tag("th", text, scope="col", class_="right" if i >= first else None) for i, text in enumerate(headings))
    return tag("div", tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)), class_="scroll")


def _seconds(trial: Trial) -> float:
    return trial.metrics.get("cost/train_seconds", 0.0)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
