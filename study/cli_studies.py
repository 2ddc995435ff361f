"""Commands on studies: names, options and help. What each does stands in ``study/commands``."""

from pathlib import Path
from typing import Annotated

import typer

from study.cli_options import STORE, Name, Settings, Space, StorePath, StudyName

app = typer.Typer()


@app.command(epilog="Example: usplit run search_spaces/quickstart.py --set train.epochs=40 --set replicates=3")
def run(
    space: Space,
    settings: Settings = [],  # noqa: B006 # typer reads the default, nobody changes it
    store: StorePath = STORE,
    name: Name = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, HOST:PORT or auto; without it, this machine.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute again what has been computed.")] = False,
) -> None:
    """Run a study: train what is missing, score every tiling, draw the figures and the report."""
    from study.commands.run import run_command

    run_command(space, settings, store, name=name, address=address, fresh=fresh)


@app.command(epilog="Example: usplit plan search_spaces/quickstart.py --set model.lc_depth=0,2,4")
def plan(
    space: Space,
    settings: Settings = [],  # noqa: B006 # as above
    store: StorePath = STORE,
    name: Name = None,
) -> None:
    """Show what a study would run, without running it."""
    from study.commands.plan import plan_command

    plan_command(space, settings, store, name=name)


@app.command(epilog="Example: usplit status quickstart")
def status(study: StudyName, store: StorePath = STORE) -> None:
    """Show what has become of the trials of a study; works while it runs."""
    from study.commands.status import status_command

    status_command(study, store)


@app.command(epilog="Example: usplit figures quickstart --out figures")
def figures(
    study: StudyName,
    store: StorePath = STORE,
    out: Annotated[Path | None, typer.Option(help="Where to write; without it, into the store.")] = None,
) -> None:
    """Draw the figures and the report of a study again, from the store alone."""
    from study.commands.figures import figures_command

    figures_command(study, store, out)


@app.command(epilog="Example: usplit dashboard --port 5001")
def dashboard(
    store: StorePath = STORE,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is reachable from here only.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Open the MLflow dashboard of a store; Ctrl-C ends it."""
    from study.commands.dashboard import dashboard_command

    dashboard_command(store, host, port)
