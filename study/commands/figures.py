"""`usplit figures`: the figures, tables and the report again, from the store or a frozen file alone."""

from pathlib import Path

from rich.console import Console

from study import environment


def figures_command(study: str, store: Path, out: Path | None) -> None:
    """Draw every figure of a study, and write its tables and its report.

    Raises
    ------
    UserError
        If there is no such store, study or file, or nothing can be written at `out`.
    """
    environment.set_defaults()
    from study.commands.results import open_source, write_results

    report, figures = write_results(open_source(study, store), out)
    console = Console()
    for figure in figures:
        text = f"{figure.name}: {figure.missing}" if figure.missing else f"{figure.name}: {figure.png}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    for table in sorted((report.parent / "tables").glob("*")):
        console.print(f"table: {table}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {report}", highlight=False, markup=False, soft_wrap=True)
