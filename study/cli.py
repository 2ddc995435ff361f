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
Model = Annotated[Path, typer.Argument(help="A model file, *.safetensors.", show_default=False)]
Tiling = Annotated[str, typer.Option(help="inner, outer or sliding.")]
Padding = Annotated[int, typer.Option(help="Padding in px.")]
Samples = Annotated[int, typer.Option(help="Posterior samples that are averaged.")]
Axes = Annotated[str | None, typer.Option(help="Axes of the images, where the files do not say.")]
TilingSettings = Annotated[
    list[str],
    typer.Option("--set", metavar="NAME=VALUE", help="Another setting of the tiling; may be repeated."),
]
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
    model: Model,
    images: Annotated[list[str], typer.Argument(help="Superimposed images, or folders of them.", show_default=False)],
    tiling: Tiling = "inner",
    padding: Padding = 16,
    samples: Samples = 1,
    settings: TilingSettings = [],  # noqa: B006 # as above
    axes: Axes = None,
    out: Annotated[Path, typer.Option(help="Directory for the split images.")] = Path(),
) -> None:
    """Split superimposed images with a trained model; writes OME-TIFF, and goes on where it was stopped."""
    from study.commands.predict import predict_command

    predict_command(
        model, images, tiling=tiling, padding_px=padding, samples=samples, settings=settings, axes=axes, out=out
    )


@app.command(epilog="Example: usplit evaluate usplit_store/studies/quickstart/best.safetensors channels.tif")
def evaluate(
    model: Model,
    images: Annotated[list[str], typer.Argument(help="Images of the structure channels.", show_default=False)],
    tiling: Tiling = "inner",
    padding: Padding = 16,
    samples: Samples = 1,
    settings: TilingSettings = [],  # noqa: B006 # as above
    axes: Axes = None,
    out: Annotated[Path | None, typer.Option(help="CSV file for the scores of each frame.")] = None,
) -> None:
    """Score a trained model on images whose structure channels are known."""
    from study.commands.evaluate import evaluate_command

    evaluate_command(
        model, images, tiling=tiling, padding_px=padding, samples=samples, settings=settings, axes=axes, out=out
    )


@app.command(
    "import",
    epilog="Example: usplit import hagen.ckpt --out hagen.safetensors --from-images actin.tif --from-images mito.tif",
)
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of juglab/uSplit, *.ckpt.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The model file to write, *.safetensors.", show_default=False)],
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="NAME=VALUE", help="A setting that the file does not tell; may be repeated."),
    ] = [],  # noqa: B006 # as above
    statistics: Annotated[Path | None, typer.Option(help="JSON file with the statistics of the training.")] = None,
    from_images: Annotated[
        list[str], typer.Option(metavar="PATH", help="Images of the training, to compute them; may be repeated.")
    ] = [],  # noqa: B006 # as above
) -> None:
    """Turn a published checkpoint of the authors into a model file; runs no code from it."""
    from study.commands.import_checkpoint import import_command

    import_command(checkpoint, out, settings, statistics=statistics, images=from_images)


@app.command(epilog="Example: usplit noise-model averaged.tif single.tif --out noise_model.safetensors")
def noise_model(
    signal: Annotated[str, typer.Argument(help="Clean, averaged or denoised images.", show_default=False)],
    observation: Annotated[str, typer.Argument(help="Noisy images of the same.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file to write, *.safetensors; its figure lies beside it.")] = Path(
        "noise_model.safetensors"
    ),
    channels: Annotated[
        str | None, typer.Option(metavar="CHANNEL,…", help="Structure channels, by index or name; without it, all.")
    ] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of the images, where the files do not say.")] = None,
    gaussians: Annotated[int, typer.Option(min=1, help="Components of the mixture.")] = 3,
    coefficients: Annotated[int, typer.Option(min=1, help="Of each polynomial of the signal.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of pixels.")] = 0,
) -> None:
    """Fit a noise model to pairs of images, for trainings with objective.likelihood=noise_model."""
    from study.commands.noise_model import noise_model_command

    noise_model_command(
        signal,
        observation,
        out,
        channels=channels,
        axes=axes,
        gaussians=gaussians,
        coefficients=coefficients,
        seed=seed,
    )


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
