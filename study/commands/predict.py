"""`usplit predict`: split superimposed images with a trained model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from usplit_core.config import TilingConfig, check_tiling
from usplit_core.errors import ConfigError, OutputError, nearest

_IMAGES = (".tif", ".tiff", ".zarr")
_SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".npy", ".npz", ".ome.zarr", ".zarr")
_FORMATS = ("ome-tiff", "ome-zarr")
_OUTCOMES = {"written": "", "resumed": " (gone on with)", "present": " (was there already)"}


def predict_command(
    model: Path,
    images: list[str],
    *,
    tiling: TilingConfig,
    axes: str | None,
    out: Path,
    output_format: str | None,
) -> None:
    """Split every image, row by row, and write each into `out`; folders stand for their TIFF files.

    The format is `output_format`, ``ome-tiff`` or ``ome-zarr``, or that of the image. Where `out` is
    named like an image, it is the file of the only one, in the format of that name.

    Raises
    ------
    UserError
        If the model, an image, the tiling or the output cannot be used.
    """
    _check_format(output_format)
    is_file = _is_file(out)
    _make_folder(out.parent if is_file else out)
    from study.commands.device import pick_device
    from usplit_core.data.image_files import check_image, open_image
    from usplit_core.inference.file_prediction import split_file
    from usplit_core.inference.prediction import Splitter

    splitter = Splitter.load(model, device=pick_device())
    check_tiling(splitter.saved.run.model, tiling)
    patch_px = splitter.saved.run.model.patch_px
    console = Console()
    sources = _sources(images)
    targets = _target_of_one(sources, out, output_format) if is_file else _targets(sources, out, output_format)
    for image, target in targets.items():
        with open_image(image, axes=axes) as opened:
            check_image(opened)
            if min(opened.height, opened.width) < patch_px:
                console.print(
                    f"{image}: {opened.height} x {opened.width} px (y, x) is smaller than a patch of {patch_px} px, "
                    "so it is padded.",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
            with progress_of(console, Path(image).name) as progress:
                outcome = split_file(splitter, opened, target, tiling=tiling, progress=progress)
        console.print(f"{target}{_OUTCOMES[outcome]}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_of(console: Console, name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar that counts tiles, for as long as the context lasts; yields what to tell it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("tiles"))
    is_shown = console.is_terminal  # elsewhere it would leave empty lines
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not is_shown) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _is_file(out: Path) -> bool:
    """Say whether `out` names a file, and no folder that is there or is to be made."""
    return out.suffix.lower() in _IMAGES and (out.suffix.lower() == ".zarr" or not out.is_dir())


def _sources(images: list[str]) -> list[str]:
    """Return the files to split: of a folder, its TIFF files."""
    from usplit_core.data.frames import tiff_files
    from usplit_core.data.ome_zarr import is_zarr

    files = []
    for image in images:
        folder = Path(image)
        is_folder = folder.is_dir() and not is_zarr(folder)
        files += [str(file) for file in tiff_files(folder)] if is_folder else [image]
    return files


def _target_of_one(files: list[str], out: Path, output_format: str | None) -> dict[str, Path]:
    """Return which file the only image is written to: `out`."""
    from usplit_core.data.output_formats import FORMATS, format_of

    if len(files) != 1:
        raise OutputError(f"--out {out} names one file, for {len(files)} images: name a directory")
    if output_format is not None and format_of(out) != FORMATS[output_format]:
        raise OutputError(f"--out {out} is no name for --format {output_format}: change one of them")
    if Path(files[0]).absolute() == out.absolute():
        raise OutputError(f"--out {out} is the image itself, which would be lost: choose another name")
    return {files[0]: out}


def _targets(files: list[str], out: Path, output_format: str | None) -> dict[str, Path]:
    """Return which file in the folder `out` each image is written to."""
    from usplit_core.data.ome_zarr import is_zarr
    from usplit_core.data.output_formats import FORMATS

    targets: dict[str, Path] = {}
    for file in files:
        written_as = output_format or ("ome-zarr" if is_zarr(Path(file)) else "ome-tiff")
        target = out / f"{_stem(file)}_split{FORMATS[written_as].suffix}"
        if target in targets.values() and file not in targets:
            raise OutputError(f"two of the images would be written to {target}: split them into different folders")
        targets[file] = target
    # A folder that results are written into holds them when the command is given again.
    results = {target.absolute() for target in targets.values()}
    return {file: target for file, target in targets.items() if Path(file).absolute() not in results}


def _check_format(output_format: str | None) -> None:
    if output_format not in (None, *_FORMATS):
        raise ConfigError(f"--format {output_format}: {nearest(str(output_format), _FORMATS)}")


def _stem(image: str) -> str:
    name = Path(image).name
    suffix = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror}; name a directory that can be written to") from None
