"""`usplit predict`: split superimposed images with a trained model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from study.commands.tiling import parse_settings, tiling_from
from usplit_core.errors import OutputError

_SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".npy", ".npz", ".ome.zarr", ".zarr")
_OUTCOMES = {"written": "", "resumed": " (gone on with)", "present": " (was there already)"}


def predict_command(
    model: Path,
    images: list[str],
    *,
    tiling: str,
    padding_px: int,
    samples: int,
    settings: list[str],
    axes: str | None,
    out: Path,
) -> None:
    """Split every image, row by row, and write an OME-TIFF for each into `out`; folders stand for their TIFF files.

    Raises
    ------
    UserError
        If the model, an image, the tiling or the output cannot be used.
    """
    wanted = tiling_from(tiling, padding_px, samples, parse_settings(settings))
    _make_folder(out)
    from study.commands.device import pick_device
    from usplit_core.config import check_tiling
    from usplit_core.data.image_files import check_image, open_image
    from usplit_core.inference.file_prediction import split_file
    from usplit_core.inference.prediction import Splitter

    splitter = Splitter.load(model, device=pick_device())
    check_tiling(splitter.saved.run.model, wanted)
    patch_px = splitter.saved.run.model.patch_px
    console = Console()
    for image, target in _targets(images, out).items():
        with open_image(image, axes=axes) as opened:
            check_image(opened)
            if min(opened.height, opened.width) < patch_px:
                console.print(
                    f"{image}: {opened.height} x {opened.width} px (y, x) is smaller than a patch of {patch_px} px, "
                    "so it is padded.",
                    highlight=False,
                    soft_wrap=True,
                )
            with progress_of(console, Path(image).name) as progress:
                outcome = split_file(splitter, opened, target, tiling=wanted, progress=progress)
        console.print(f"{target}{_OUTCOMES[outcome]}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_of(console: Console, name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar that counts tiles, for as long as the context lasts; yields what to tell it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("tiles"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _targets(images: list[str], out: Path) -> dict[str, Path]:
    """Return which file each image is written to."""
    from usplit_core.data.frames import tiff_files

    files = []
    for image in images:
        folder = Path(image)
        is_folder = folder.is_dir() and folder.suffix.lower() != ".zarr"
        files += [str(file) for file in tiff_files(folder)] if is_folder else [image]
    targets: dict[str, Path] = {}
    for file in files:
        target = out / f"{_stem(file)}_split.ome.tif"
        if target in targets.values() and file not in targets:
            raise OutputError(f"two of the images would be written to {target}: split them into different folders")
        targets[file] = target
    return targets


def _stem(image: str) -> str:
    name = Path(image).name
    suffix = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror}; name a directory that can be written to") from None
