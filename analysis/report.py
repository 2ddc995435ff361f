"""One self-contained page about a study: question, answer, table, figures, failures, cost, places."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from analysis.figures import FigureResult
from analysis.html import Safe, join, tag
from analysis.records import MissingRuns, StudyRecord
from analysis.report_parts import (
    best_section,
    cost_section,
    duration,
    effects_section,
    reproduction_section,
    section,
    table,
    train_seconds,
)
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
        None if isinstance(found, MissingRuns) else best_section(record, found),
        effects_section(record),
        _figures(figures),
        _failures(record),
        cost_section(record),
        reproduction_section(record),
        _settings(record),
        _places(places),
    )
    header = tag("header", tag("h1", record.name), tag("p", record.question, class_="lead"))
    body = tag("body", header, tag("main", *sections))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


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
        (duration(sum(train_seconds(trial) for trial in record.trials)), "of training in all"),
    ]
    return tag("ul", *(tag("li", tag("b", number), words) for number, words in facts), class_="facts")


def _results(record: StudyRecord, found: Verdict | MissingRuns) -> Safe:
    try:
        results = results_table(record)
    except MissingRuns as missing:
        return section("Results", tag("p", str(missing), class_="missing"))
    note = tag("p", results.note, class_="note")
    return section("Results", tag("div", to_html(results), class_="scroll"), note, _gains(record, found))


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
    body = table(("cell", "difference, paired by seed"), rows, right_from=1)
    return join(tag("h3", title), body, tag("p", words, class_="note"))


def _gain(gain: Gain, of: Metric) -> str:
    return "no seed in common" if gain.difference is None else format_difference(gain.difference, of)


def _figures(figures: Sequence[FigureResult]) -> Safe:
    drawn = [_figure(number, figure) for number, figure in enumerate((f for f in figures if f.png), start=1)]
    missing = [_missing(figure) for figure in figures if not figure.png and figure.varied]
    heading = tag("h3", "Figures without data") if missing else None
    others = [_missing(figure) for figure in figures if not figure.png and not figure.varied]
    summary = tag("summary", f"{len(others)} figures that this study is not about")
    folded = tag("details", summary, *others) if others else None
    return section("Figures", *drawn, heading, *missing, folded)


def _missing(figure: FigureResult) -> Safe:
    return tag("p", tag("b", f"{figure.title}: "), figure.missing, class_="missing")


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
        return section("What failed", tag("p", "Nothing: every trial finished."))
    names = train_factors(record)
    body = [
        tag("tr", tag("td", describe(pick(row.settings, names)) or row.fingerprint[:12]), tag("td", str(row.seed)),
            tag("td", row.state, class_="warn" if row.state == "failed" else None),
            tag("td", row.reason or "no reason recorded"))
        for row in rows
    ]  # fmt: skip
    again = "Running the search space again with `usplit run` tries failed trials again and resumes the others."
    return section("What failed", table(("trial", "seed", "state", "reason"), body), tag("p", again, class_="note"))


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
    return section(
        "Settings",
        table(("factor", "name", "levels"), varied) if varied else None,
        tag("details", tag("summary", f"{len(shared)} settings that all trials share"),
            table(("setting", "name", "value"), shared)),
    )  # fmt: skip


def _levels(record: StudyRecord, name: str) -> str:
    found = levels(record, name) or {**record.train, **record.evaluate}.get(name, ())
    return ", ".join(format_value(name, value) for value in found)


def _places(places: Mapping[str, str]) -> Safe:
    rows = [item for words, place in places.items() for item in (tag("dt", words), tag("dd", _place(place)))]
    return section("Where everything lies, and how to go on", tag("dl", *rows))


def _place(place: str) -> Safe:
    return tag("a", place, href=place) if place.startswith(("http://", "https://")) else tag("code", place)
