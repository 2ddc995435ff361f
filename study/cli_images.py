"""Commands on images and models: names, options and help. What each does stands in ``study/commands``."""

from pathlib import Path
from typing import Annotated

import typer

from study.cli_options import STORE, Axes, Model, Padding, Samples, StorePath, Tiling, TilingSettings

app = typer.Typer()


@app.command(epilog="Example: usplit predict usplit_store/studies/quickstart/best.safetensors cells.tif --padding 16")
def predict(  # noqa: PLR0913 # each is an option of the command
    model: Model,
    images: Annotated[list[str], typer.Argument(help="Superimposed images, or folders of them.", show_default=False)],
    tiling: Tiling = "inner",
    padding: Padding = None,
    samples: Samples = 1,
    settings: TilingSettings = [],  # noqa: B006 # as above
    axes: Axes = None,
    out: Annotated[Path, typer.Option(help="Directory for the split images; for one image, also a file.")] = Path(),
    output_format: Annotated[
        str | None, typer.Option("--format", help="ome-tiff or ome-zarr; without it, that of the image.")
    ] = None,
    store: StorePath = STORE,
) -> None:
    """Split superimposed images with a trained model; goes on where it was stopped."""
    from study.commands.models import model_file
    from study.commands.predict import predict_command
    from study.commands.tiling import parse_settings, tiling_from

    values = parse_settings(settings)
    with model_file(model, store) as file:
        wanted = tiling_from(file, tiling, padding, samples, values)
        predict_command(file, images, tiling=wanted, axes=axes, out=out, output_format=output_format)


@app.command(epilog="Example: usplit evaluate usplit_store/studies/quickstart/best.safetensors channels.tif")
def evaluate(  # noqa: PLR0913 # as above
    model: Model,
    images: Annotated[list[str], typer.Argument(help="Images of the structure channels.", show_default=False)],
    tiling: Tiling = "inner",
    padding: Padding = None,
    samples: Samples = 1,
    settings: TilingSettings = [],  # noqa: B006 # as above
    axes: Axes = None,
    out: Annotated[Path | None, typer.Option(help="CSV file for the scores of each frame.")] = None,
    store: StorePath = STORE,
) -> None:
    """Score a trained model on images whose structure channels are known."""
    from study.commands.evaluate import CHANNELS, evaluate_command
    from study.commands.models import model_file
    from study.commands.tiling import parse_settings, tiling_from

    values = parse_settings(settings, also=(CHANNELS,))
    with model_file(model, store) as file:
        wanted = tiling_from(file, tiling, padding, samples, values)
        evaluate_command(file, images, tiling=wanted, channels=values.get(CHANNELS), axes=axes, out=out)


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
