"""What a user holds at the end of a study: table, figures and report, all drawn from the store."""

from pathlib import Path

from analysis.figures import FigureResult, draw_figures, draw_overview
from analysis.records import MissingRuns, StudyRecord
from analysis.report import write_report
from analysis.store import read_study
from analysis.tables import results_table, to_text
from study.store import Store


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
    """Write every figure and the report of a study, into its folder or to `out`; return the report's path."""
    home = store.study_folder(record.name)
    folder = home if out is None else out
    figures = draw_figures(record, folder / "figures")
    overview = home / "overview.npz"
    if overview.exists():
        figures.insert(0, draw_overview(overview, folder / "figures"))
    return write_report(record, figures, folder, places=places), figures
