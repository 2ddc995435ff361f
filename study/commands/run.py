"""`usplit run`: from images to figures."""

import sys
from pathlib import Path

from rich.console import Console

from study import environment
from study.commands.spaces import study_from
from study.runner import PreparedStudy, StudyOutcome, prepare, run_study
from study.store import Store, open_store

_INTERRUPTED = 130


def run_command(
    space: str, settings: list[str], store: Path, *, name: str | None, address: str | None, fresh: bool
) -> None:
    """Run a study and show what came of it; exit code 1 where a trial failed, 130 after Ctrl-C.

    Raises
    ------
    UserError
        If anything about the study, its images, the store or the cluster is wrong.
    """
    environment.set_defaults()
    console = Console()
    study = study_from(space, settings, name)
    places = open_store(store)
    prepared = prepare(study)
    evaluations = sum(len(trial.tilings) for trial in prepared.trials)
    console.print(f"[bold]{study.name}[/]: {study.question}", soft_wrap=True)
    console.print(f"{len(prepared.trials)} trainings, {evaluations} evaluations", highlight=False)
    outcome = run_study(prepared, places, console=console, address=address, fresh=fresh)
    _say_what_was_done(console, outcome)
    if outcome.interrupted:
        console.print("Stopped. What has been computed is kept: the same command goes on.")
        sys.exit(_INTERRUPTED)
    _show_results(console, prepared, places, store)
    if outcome.failed:
        sys.exit(1)


def _say_what_was_done(console: Console, outcome: StudyOutcome) -> None:
    if outcome.trained or outcome.evaluated:
        console.print(
            f"Trained {outcome.trained}, evaluated {outcome.evaluated}, in {outcome.seconds:.0f} s.", highlight=False
        )
    elif not outcome.interrupted and not outcome.failed:
        console.print("Everything had been computed: nothing was trained.")
    for status in outcome.failed:
        console.print(f"failed {status.label}: {status.reason}", highlight=False, markup=False, soft_wrap=True)


def _show_results(console: Console, prepared: PreparedStudy, store: Store, store_option: Path) -> None:
    from study.commands.best import keep_best
    from study.commands.results import draw_and_report, read_record, table_text

    name = prepared.study.name
    record = read_record(store, name)
    best = keep_best(prepared, record, store)
    places = {"Everything": str(store.root), "Dashboard": f"usplit dashboard --store {store_option}"}
    if best is not None:
        places |= {
            f"Best model ({best.label})": str(best.model),
            "Superimposed image": str(best.superimposed),
            "Split image, for ImageJ": str(best.split),
            "Split your own image": f"usplit predict {best.model} IMAGE.tif",
        }
    report, figures = draw_and_report(record, store, places)
    console.print()
    console.print(table_text(record), highlight=False, markup=False, soft_wrap=True)
    console.print()
    for figure in figures:
        if figure.missing:
            console.print(f"figure {figure.name}: {figure.missing}", highlight=False, markup=False, soft_wrap=True)
    shown = {"Report": str(report), "Figures": str(store.study_folder(name) / "figures"), **places}
    width = max(map(len, shown))
    for what, where in shown.items():
        console.print(f"{what:<{width}}  {where}", highlight=False, markup=False, soft_wrap=True)
