"""The command line: names, options and help. What each command does stands in ``study/commands``.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="usplit",
    help="Studies of µSplit: split one fluorescence image into the structures that it superimposes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Space = Annotated[str, typer.Argument(help="A search-space file, or the name of a shipped one.", show_default=False)]
StudyName = Annotated[str, typer.Argument(help="Name of a study in the store.", show_default=False)]
StorePath = Annotated[Path, typer.Option("--store", help="Directory that holds everything.")]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting or the levels of a factor; may be repeated."),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the study, where it is not the file's own.")]
_STORE = Path("usplit_store")


@app.command(epilog="Example: usplit run search_spaces/quickstart.py --set train.epochs=40 --set replicates=3")
def run(
    space: Space,
    settings: Settings = [],  # noqa: B006 # typer reads the default, nobody changes it
    store: StorePath = _STORE,
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
    store: StorePath = _STORE,
    name: Name = None,
) -> None:
    """Show what a study would run, without running it."""
    from study.commands.plan import plan_command

    plan_command(space, settings, store, name=name)


@app.command(epilog="Example: usplit status quickstart")
def status(study: StudyName, store: StorePath = _STORE) -> None:
    """Show what has become of the trials of a study; works while it runs."""
    from study.commands.status import status_command

    status_command(study, store)


@app.command(epilog="Example: usplit figures quickstart --out figures")
def figures(
    study: StudyName,
    store: StorePath = _STORE,
    out: Annotated[Path | None, typer.Option(help="Where to write; without it, into the store.")] = None,
) -> None:
    """Draw the figures and the report of a study again, from the store alone."""
    from study.commands.figures import figures_command

    figures_command(study, store, out)


@app.command(epilog="Example: usplit predict usplit_store/studies/quickstart/best.safetensors cells.tif --padding 16")
def predict(
    model: Annotated[Path, typer.Argument(help="A model file, *.safetensors.", show_default=False)],
    images: Annotated[list[str], typer.Argument(help="Superimposed images.", show_default=False)],
    tiling: Annotated[str, typer.Option(help="inner or outer.")] = "inner",
    padding: Annotated[int, typer.Option(help="Padding in px.")] = 16,
    samples: Annotated[int, typer.Option(help="Posterior samples that are averaged.")] = 1,
    axes: Annotated[str | None, typer.Option(help="Axes of the images, where the files do not say.")] = None,
    out: Annotated[Path, typer.Option(help="Directory for the split images.")] = Path(),
) -> None:
    """Split superimposed images with a trained model; writes TIFF that ImageJ reads."""
    from study.commands.predict import predict_command

    predict_command(model, images, tiling=tiling, padding_px=padding, samples=samples, axes=axes, out=out)


@app.command(epilog="Example: usplit dashboard --port 5001")
def dashboard(
    store: StorePath = _STORE,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is reachable from here only.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Open the MLflow dashboard of a store; Ctrl-C ends it."""
    from study.commands.dashboard import dashboard_command

    dashboard_command(store, host, port)
