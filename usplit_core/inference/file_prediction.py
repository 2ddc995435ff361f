"""Splits an image file into an OME-TIFF or OME-Zarr, row by row: neither image nor result need fit into memory."""

import hashlib
import json
from pathlib import Path
from typing import Literal

import numpy as np

from usplit_core import __version__
from usplit_core.checkpoint import SavedModel
from usplit_core.config import TilingConfig, check_tiling
from usplit_core.data.files import files_of
from usplit_core.data.image_files import LazyImage
from usplit_core.data.output_formats import OutputFormat, format_of
from usplit_core.data.written_image import Layout, WrittenImage
from usplit_core.errors import OutputError, UserError
from usplit_core.inference.prediction import Splitter
from usplit_core.inference.stitching import Rows
from usplit_core.inference.tile_prediction import Progress, posterior_samples
from usplit_core.inference.tiling import plan_tiles

Outcome = Literal["written", "resumed", "present"]


def split_file(
    splitter: Splitter,
    image: LazyImage,
    target: Path,
    *,
    tiling: TilingConfig,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Split every frame of an image and write the structure channels, in intensities, piece by piece.

    Where a pixel is predicted more than once, further channels hold the standard deviation of its predictions. A call
    that was stopped goes on where it was; one that has finished is not repeated.

    Parameters
    ----------
    splitter
        The trained network.
    image
        The file; its frame axes and pixel size are kept.
    target
        What to write: an OME-Zarr if its name ends in .zarr, else an OME-TIFF.
    tiling, batch_size
        As in `Splitter.split_with_std`.
    progress
        Told the tiles done and the tiles in all, over all frames.

    Returns
    -------
    Whether the file was written, gone on with, or there already.

    Raises
    ------
    UserError
        As in `Splitter.split_with_std`, and OutputError if the file cannot be written.
    """
    model = splitter.saved.run.model
    check_tiling(model, tiling)
    plan = plan_tiles(image.height, image.width, patch_px=model.patch_px, tiling=tiling)
    has_std = plan.coverage * posterior_samples(model, tiling) > 1
    identity = _identity(splitter, image, tiling, batch_size)
    output = format_of(target)
    if _is_there(output, target, identity):
        return "present"
    file = WrittenImage(target, _layout(image, splitter.saved, has_std=has_std), identity, output.container)
    resumed = file.rows_done(0) > 0
    try:
        for frame in range(image.frames):
            if file.rows_done(frame) < image.height:
                _split_frame(splitter, image, frame, file, tiling, batch_size, _of_all(progress, frame, image.frames))
        file.finish()
    except OutputError:
        raise
    except UserError:
        file.discard()
        raise
    finally:
        file.close()
    return "resumed" if resumed else "written"


def _is_there(output: OutputFormat, target: Path, identity: str) -> bool:
    """Return whether the file is finished; refuse a place where it cannot be begun."""
    try:
        if output.is_finished(target, identity):
            return True
        output.refuse_place(target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({error.strerror}): choose a folder that may be looked into and written to"
        ) from error
    return False


def _split_frame(
    splitter: Splitter,
    image: LazyImage,
    frame: int,
    file: WrittenImage,
    tiling: TilingConfig,
    batch_size: int | None,
    progress: Progress | None,
) -> None:
    for rows in splitter.split_rows(
        image, frame, tiling=tiling, batch_size=batch_size, progress=progress, first_row=file.rows_done(frame)
    ):
        file.write(frame, _channels(rows))


def _channels(rows: Rows) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return rows.mean if rows.std is None else np.concatenate([rows.mean, rows.std])


def _of_all(progress: Progress | None, frame: int, frames: int) -> Progress | None:
    """Return a progress that counts the tiles of one frame among those of all."""
    if progress is None:
        return None
    return lambda done, total: progress(frame * total + done, frames * total)


def _layout(image: LazyImage, saved: SavedModel, *, has_std: bool) -> Layout:
    names = saved.channel_names + (tuple(f"{name} std" for name in saved.channel_names) if has_std else ())
    # OME knows frames of time and of depth; any other count becomes time.
    known = set(image.frame_axes) <= set("TZ")
    axes, lengths = (image.frame_axes, image.frame_lengths) if known else ("T", (image.frames,))
    return Layout(axes, lengths, names, image.height, image.width, image.pixel_size_um)


def _identity(splitter: Splitter, image: LazyImage, tiling: TilingConfig, batch_size: int | None) -> str:
    """Return a hash of everything that decides the result: weights, image, tiling."""
    call = {
        "version": __version__,
        "run": splitter.saved.run.model_dump(mode="json"),
        "statistics": splitter.saved.statistics,
        "image": [str(Path(image.name).absolute()), image.frames, image.height, image.width],
        "file": _state(Path(image.name)),
        "tiling": tiling.model_dump(),
        "batch_size": batch_size,
        "device": splitter.device.type,
    }
    digest = hashlib.blake2b(json.dumps(call, sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(splitter.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _state(path: Path) -> list[int] | None:
    """Return what changes when any file of an image is written anew: size and time."""
    if not path.exists():
        return None
    files = files_of(path)
    states = [file.stat() for file in files]
    return [sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)]
