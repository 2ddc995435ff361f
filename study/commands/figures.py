"""`usplit figures`: the figures and the report again, from the store alone."""

from pathlib import Path

from rich.console import Console

from study import environment
from study.store import existing_store


def figures_command(study: str, store: Path, out: Path | None) -> None:
    """Draw every figure of a study and write its report.

    Raises
    ------
    UserError
        If there is no such store or study, or nothing can be written at `out`.
    """
    environment.set_defaults()
    from study.commands.results import draw_and_report, read_record

    places = existing_store(store)
    record = read_record(places, study)
    where = {"Everything": str(places.root), "Dashboard": f"usplit dashboard --store {store}"}
    report, figures = draw_and_report(record, places, where, out)
    console = Console()
    for figure in figures:
        text = f"{figure.name}: {figure.missing}" if figure.missing else f"{figure.name}: {figure.png}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {report}", highlight=False, markup=False, soft_wrap=True)
