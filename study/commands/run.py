"""`usplit run`: from images to figures."""

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from study import environment
from study.commands.spaces import study_from
from study.engine.launch import keep_launch
from study.engine.limits import BY_REQUEST
from study.engine.runner import PreparedStudy, StudyOutcome, foresee, prepare, run_study
from study.spaces import find_space
from study.spec import Population, Search
from study.store import Store, open_store

_INTERRUPTED = 130


def run_command(
    space: str,
    settings: list[str],
    store: Path,
    *,
    name: str | None,
    address: str | None,
    fresh: bool,
    tracking_uri: str | None = None,
    shared: str | None = None,
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
    places = open_store(store, tracking_uri, shared)
    prepared = prepare(study)
    console.print(f"[bold]{study.name}[/]: {escape(study.question)}", soft_wrap=True)
    console.print(_size(prepared), highlight=False)
    if address is None:
        for warning in foresee(prepared, places):
            console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)

    def keep() -> None:
        keep_launch(places, study.name, find_space(space), settings)

    outcome = run_study(prepared, places, console=console, address=address, fresh=fresh, accepted=keep)
    _say_what_was_done(console, outcome)
    if outcome.stop_reason in ("", BY_REQUEST) and outcome.interrupted:
        console.print("Stopped. What has been computed is kept: the same command goes on.", soft_wrap=True)
        sys.exit(_INTERRUPTED)
    _show_results(console, prepared._replace(trials=outcome.trials), places, store)
    if outcome.stop_reason:
        console.print(
            f"\nNot complete: {outcome.stop_reason}. What has been computed is kept, and shown above.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if outcome.failed:
        sys.exit(1)


def _size(prepared: PreparedStudy) -> str:
    study = prepared.study
    if isinstance(study.design, Search):
        return f"a search of {study.design.trials} points, each trained with {len(study.seeds)} seed(s)"
    if isinstance(study.design, Population):
        return f"a population of {study.design.members} members over {study.design.generations} generations"
    evaluations = sum(len(trial.tilings) for trial in prepared.trials)
    return f"{len(prepared.trials)} trainings, {evaluations} evaluations"


def _say_what_was_done(console: Console, outcome: StudyOutcome) -> None:
    if outcome.trained or outcome.evaluated:
        pruned = sum(status.state == "pruned" for status in outcome.statuses)
        early = f" ({pruned} of the study stopped early)" if pruned else ""
        console.print(
            f"Trained {outcome.trained}{early}, evaluated {outcome.evaluated}, in {outcome.seconds:.0f} s.",
            highlight=False,
        )
    elif not outcome.interrupted and not outcome.stop_reason and not outcome.failed:
        console.print("Everything had been computed: nothing was trained.")
    for status in outcome.failed:
        console.print(f"failed {status.label}: {status.reason}", highlight=False, markup=False, soft_wrap=True)


def _show_results(console: Console, prepared: PreparedStudy, store: Store, store_option: Path) -> None:
    from study.commands.best import keep_best
    from study.commands.champion import register_best
    from study.commands.program import program
    from study.commands.results import draw_and_report, read_record, table_text

    name = prepared.study.name
    record = read_record(store, name)
    best = keep_best(prepared, record, store)
    places = {"Everything": str(store.root), "Dashboard": f"{program()} dashboard --store {store_option}"}
    if best is not None:
        name_of_best = register_best(record, prepared.trials, store)
        places |= {
            f"Best model ({best.label})": str(best.model),
            "Superimposed image": str(best.superimposed),
            "Split image, for ImageJ": str(best.split),
            "Split your own image": f"{program()} predict {best.model} IMAGE.tif",
            "The same by name": f"{program()} predict {name_of_best} IMAGE.tif --store {store_option}",
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
