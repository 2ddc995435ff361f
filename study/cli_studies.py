"""Commands on studies: names, options and help. What each does stands in ``study/commands``."""

from pathlib import Path
from typing import Annotated

import typer

from study.cli_options import (
    STORE,
    Address,
    Axes,
    FiguresFolder,
    Name,
    Settings,
    Shared,
    Space,
    StorePath,
    StudyName,
    StudyOrFile,
    TrackingUri,
)

app = typer.Typer()


@app.command(epilog="Example: usplit run search_spaces/quickstart.py --set train.epochs=40 --set replicates=3")
def run(
    space: Space,
    settings: Settings = [],  # noqa: B006 # typer reads the default, nobody changes it
    store: StorePath = STORE,
    name: Name = None,
    address: Address = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute again what has been computed.")] = False,
    tracking_uri: TrackingUri = None,
    shared: Shared = None,
) -> None:
    """Run a study: train what is missing, score every tiling, draw the figures and the report."""
    from study.commands.run import run_command

    run_command(
        space, settings, store, name=name, address=address, fresh=fresh, tracking_uri=tracking_uri, shared=shared
    )


@app.command(epilog="Example: usplit plan search_spaces/quickstart.py --set model.lc_depth=0,2,4")
def plan(
    space: Space,
    settings: Settings = [],  # noqa: B006 # as above
    store: StorePath = STORE,
    name: Name = None,
    probe: Annotated[bool, typer.Option("--probe", help="Measure a few training steps of each network here.")] = False,
) -> None:
    """Show what a study would take: trials, memory, time and space; nothing is trained."""
    from study.commands.plan import plan_command

    plan_command(space, settings, store, name=name, probing=probe)


@app.command(epilog="Example: usplit new my_cells --images cells.tif")
def new(
    name: Annotated[str, typer.Argument(help="Name of the study, and of its file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path(),
    images: Annotated[
        list[str],
        typer.Option(help="Your images; repeated, one file for each structure channel.", show_default=False),
    ] = [],  # noqa: B006 # as above
    axes: Axes = None,
) -> None:
    """Write a search space to begin with, fitted to your images; it runs as it stands."""
    from study.commands.new import new_command

    new_command(name, out, images, axes=axes)


@app.command(epilog="Example: usplit status quickstart")
def status(study: StudyName, store: StorePath = STORE) -> None:
    """Show what has become of the trials of a study; works while it runs."""
    from study.commands.status import status_command

    status_command(study, store)


@app.command(epilog="Example: usplit stop quickstart")
def stop(study: StudyName, store: StorePath = STORE) -> None:
    """Stop a running study from elsewhere; what has been computed is kept."""
    from study.commands.stop import stop_command

    stop_command(study, store)


@app.command(epilog="Example: usplit resume quickstart")
def resume(
    study: StudyName,
    store: StorePath = STORE,
    address: Address = None,
) -> None:
    """Go on with a study by its name, as it was last started."""
    from study.commands.resume import resume_command

    resume_command(study, store, address)


@app.command(epilog="Example: usplit figures quickstart --out figures")
def figures(
    study: StudyOrFile,
    store: StorePath = STORE,
    out: FiguresFolder = None,
) -> None:
    """Draw the figures, tables and report of a study again, from the store or a frozen file alone."""
    from study.commands.figures import figures_command

    figures_command(study, store, out)


@app.command(epilog="Example: usplit report quickstart.parquet")
def report(
    study: StudyOrFile,
    store: StorePath = STORE,
    out: FiguresFolder = None,
) -> None:
    """Write the report of a study, one page that needs no other file, and say what it found."""
    from study.commands.report import report_command

    report_command(study, store, out)


@app.command(epilog="Example: usplit freeze quickstart --out quickstart.parquet")
def freeze(
    study: StudyName,
    store: StorePath = STORE,
    out: Annotated[Path | None, typer.Option(help="The file to write; without it, STUDY.parquet here.")] = None,
) -> None:
    """Keep a study in one Parquet file, from which everything can be drawn again without the store."""
    from study.commands.freeze import freeze_command

    freeze_command(study, store, out)


@app.command(epilog="Example: usplit compare quickstart --factor model.lc_depth")
def compare(
    studies: Annotated[list[str], typer.Argument(help="Studies in the store, or frozen files.", show_default=False)],
    store: StorePath = STORE,
    factor: Annotated[
        list[str], typer.Option(metavar="NAME", help="Compare the levels of this factor; may be repeated.")
    ] = [],  # noqa: B006 # as above
    metric: Annotated[str | None, typer.Option(help="Another metric than the headline one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table as well: *.md, *.tex or *.csv.")] = None,
) -> None:
    """Compare studies, or the levels of factors: paired differences, effect sizes, corrected p values."""
    from study.commands.compare import compare_command

    compare_command(studies, store, factors=factor, metric=metric, out=out)


@app.command(epilog="Example: usplit doctor --address HOST:6379 --store /shared/usplit_store")
def doctor(
    store: StorePath = STORE,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, HOST:PORT or auto, whose nodes are looked at as well.")
    ] = None,
    shared: Shared = None,
) -> None:
    """Look for what is wrong with this machine, a store and a cluster; exit code 2 if there is a problem."""
    from study.commands.doctor import doctor_command

    doctor_command(store, address, shared)


@app.command(epilog="Example: usplit dashboard --port 5001")
def dashboard(
    store: StorePath = STORE,
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is reachable from here only.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Open the MLflow dashboard of a store; Ctrl-C ends it."""
    from study.commands.dashboard import dashboard_command

    dashboard_command(store, host, port)
