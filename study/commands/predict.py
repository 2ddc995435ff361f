"""`usplit predict`: split superimposed images with a trained model."""

from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from usplit_core.config import TilingConfig, parse_setting
from usplit_core.errors import OutputError


def predict_command(
    model: Path, images: list[str], *, tiling: str, padding_px: int, samples: int, axes: str | None, out: Path
) -> None:
    """Split every image and write one TIFF beside the others in `out`.

    Raises
    ------
    UserError
        If the model, an image, the tiling or the output cannot be used.
    """
    wanted = TilingConfig.model_validate({
        "mode": parse_setting("tiling.mode", tiling),
        "padding_px": parse_setting("tiling.padding_px", str(padding_px)),
        "samples": parse_setting("tiling.samples", str(samples)),
    })  # fmt: skip
    _make_folder(out)
    from study.trial import pick_device
    from usplit_core.data.frames import read_image, write_tiff
    from usplit_core.inference.prediction import Splitter

    splitter = Splitter.load(model, device=pick_device())
    console = Console()
    for image in images:
        frames = read_image(image, axes=axes)
        for index in range(len(frames.pixels)):
            suffix = f"_{index}" if len(frames.pixels) > 1 else ""
            target = out / f"{Path(image).name.split('.')[0]}_split{suffix}.tif"
            with Progress(console=console, transient=True) as progress:
                task = progress.add_task(f"{image}{suffix}")
                split = splitter.split(
                    frames.pixels[index, 0],
                    tiling=wanted,
                    progress=lambda done, total: progress.update(task, completed=done, total=total),  # noqa: B023
                )
            write_tiff(target, split, channel_names=splitter.saved.channel_names, pixel_size_um=frames.pixel_size_um)
            console.print(f"{target}", highlight=False)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror}; name a directory that can be written to") from None
