"""What several commands take: arguments and options with their help."""

from pathlib import Path
from typing import Annotated

import typer

Space = Annotated[str, typer.Argument(help="A search-space file, or the name of a shipped one.", show_default=False)]
StudyName = Annotated[str, typer.Argument(help="Name of a study in the store.", show_default=False)]
StudyOrFile = Annotated[
    str,
    typer.Argument(help="Name of a study in the store, or a file that usplit freeze wrote.", show_default=False),
]
StorePath = Annotated[Path, typer.Option("--store", help="Directory that holds everything.")]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting or the levels of a factor; may be repeated."),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the study, where it is not the file's own.")]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI",
        metavar="URL",
        help="MLflow server to show the study on, remembered with the store; without it, a database in the store.",
    ),
]
Shared = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Object store, s3://BUCKET/PREFIX, through which nodes share trials, remembered with the store; "
        "without it, all nodes must mount the store.",
    ),
]
Address = Annotated[str | None, typer.Option(help="Ray cluster, HOST:PORT or auto; without it, this machine.")]
FiguresFolder = Annotated[
    Path | None, typer.Option("--out", help="Where to write; without it, into the store or beside the file.")
]
Model = Annotated[
    Path, typer.Argument(help="A model file, *.safetensors, or models:/STUDY@best of a store.", show_default=False)
]
Tiling = Annotated[str, typer.Option(help="inner, outer or sliding.")]
Padding = Annotated[int | None, typer.Option(help="Padding in px; without it, 16 or a quarter of a smaller patch.")]
Samples = Annotated[int, typer.Option(help="Posterior samples that are averaged.")]
Axes = Annotated[str | None, typer.Option(help="Axes of the images, where the files do not say.")]
TilingSettings = Annotated[
    list[str],
    typer.Option("--set", metavar="NAME=VALUE", help="Another setting of the tiling; may be repeated."),
]
STORE = Path("usplit_store")
