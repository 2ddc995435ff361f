"""`usplit report`: the page about a study, from the store or a frozen file."""

from pathlib import Path

from rich.console import Console

from study import environment


def report_command(study: str, store: Path, out: Path | None) -> None:
    """Write the report of a study with fresh figures, and say where it lies and what it found.

    Raises
    ------
    UserError
        If there is no such store, study or file, or nothing can be written at `out`.
    """
    environment.set_defaults()
    from analysis.records import MissingRuns
    from analysis.verdict import in_words, verdict
    from study.commands.results import open_source, write_results

    source = open_source(study, store)
    report, _ = write_results(source, out)
    try:
        answer = in_words(verdict(source.record))
    except MissingRuns as missing:
        answer = str(missing)
    console = Console()
    console.print(answer, highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {report}", highlight=False, markup=False, soft_wrap=True)
