"""What a user holds at the end of a study: tables, figures and report, drawn from the store or from a frozen file."""

from pathlib import Path
from typing import NamedTuple

from analysis.comparison import effects, effects_table
from analysis.figures import FigureResult, draw_figures, draw_overview
from analysis.figures.overview import Overview, load
from analysis.frozen import is_frozen, read_frozen
from analysis.records import MissingRuns, StudyRecord
from analysis.report import write_report
from analysis.selection import headline
from analysis.store import read_study
from analysis.tables import Table, results_table, to_csv, to_latex, to_markdown, to_text
from study.commands.program import program
from study.errors import StoreError
from study.store import Store, existing_store

_RENDERERS = {".md": to_markdown, ".tex": to_latex, ".csv": to_csv}


class Source(NamedTuple):
    """A study, wherever it was read from; `home` is where its figures go, `places` what lies where."""

    record: StudyRecord
    overview: Overview | None
    home: Path
    places: dict[str, str]


def open_source(study: str, store: Path) -> Source:
    """Read a study by its name in a store, or from the frozen file that `study` names.

    Raises
    ------
    UserError
        If there is no such store, study or file.
    """
    if is_frozen(study):
        path = Path(study).expanduser().resolve()
        record, overview = read_frozen(path)
        places = {"Frozen study": str(path), "Draw it again": f"{program()} figures {study}"}
        return Source(record, overview, path.with_suffix(""), places)
    place = existing_store(store)
    places = {
        "Everything": str(place.root),
        "Dashboard": f"{program()} dashboard --store {store}",
        "Keep it in one file": f"{program()} freeze {study} --store {store}",
    }
    return Source(read_record(place, study), _overview(place, study), place.study_folder(study), places)


def read_record(store: Store, study: str) -> StudyRecord:
    """Return the record of a study in a store."""
    return read_study(store.tracking_uri, study)


def table_text(record: StudyRecord) -> str:
    """Return the results table for a terminal, or why there is none."""
    try:
        return to_text(results_table(record))
    except MissingRuns as missing:
        return str(missing)


def draw_and_report(
    record: StudyRecord, store: Store, places: dict[str, str], out: Path | None = None
) -> tuple[Path, list[FigureResult]]:
    """Write every figure, the tables and the report of a study in a store; see `write_results`."""
    home = store.study_folder(record.name)
    return write_results(Source(record, _overview(store, record.name), home, places), out)


def write_results(source: Source, out: Path | None = None) -> tuple[Path, list[FigureResult]]:
    """Write every figure, the tables and the report into the study's folder or to `out`.

    Returns
    -------
    Path
        Of the report.
    list of FigureResult
        The figures that the study is about, those that lack runs included.
    """
    folder = source.home if out is None else out
    figures = draw_figures(source.record, folder / "figures")
    if source.overview is not None:
        figures.insert(0, draw_overview(source.overview, folder / "figures"))
    _write_tables(source.record, folder / "tables")
    report = write_report(source.record, figures, folder, places=source.places)
    return report, [figure for figure in figures if figure.varied]


def _overview(store: Store, study: str) -> Overview | None:
    path = store.study_folder(study) / "overview.npz"
    return load(path) if path.exists() else None


def _write_tables(record: StudyRecord, folder: Path) -> None:
    """Write what there is of results and effects as Markdown, LaTeX and CSV."""
    tables: dict[str, Table] = {}
    try:
        tables["results"] = results_table(record)
        tables["effects"] = effects_table(effects(record), headline(record))
    except MissingRuns:
        pass  # the report says which runs are missing
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            for ending, render in _RENDERERS.items():
                (folder / f"{name}{ending}").write_text(render(table).rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written to ({error.strerror}); name another folder with --out") from error
