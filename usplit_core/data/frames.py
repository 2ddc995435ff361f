"""Images in, images out: frames (N, C, Y, X) of structure channels or superimposed images (docs/method.md, Data).

Formats: TIFF, OME-TIFF, ImageJ hyperstacks, folders of TIFFs, .npy, .npz, one file a channel, and OME-Zarr
where zarr is installed. Axes are taken from the file, else from ``data.axes``, else from the shape
where that is safe. Time and depth fold into N: each plane is a frame.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import tifffile
from numpy.typing import NDArray

from usplit_core.data.axes import arrange
from usplit_core.data.files import SUFFIXES, TIFF_SUFFIXES, read_file
from usplit_core.data.locate import locate, reachable
from usplit_core.data.ome_zarr import is_zarr
from usplit_core.data.shared_arrays import ArrayCache, shared_array
from usplit_core.errors import DataError, OutputError, nearest

SYNTHETIC_PREFIX = "synthetic:"


class Frames(NamedTuple):
    """Frames (N, C, Y, X) in the type of the file, names of the channels, and pixel size (y, x) where it is known."""

    pixels: NDArray[Any]
    channel_names: tuple[str, ...]
    pixel_size_um: tuple[float, float] | None


def read_frames(
    path: str | tuple[str, ...],
    *,
    axes: str | None = None,
    channels: tuple[int | str, ...] | None = None,
    arrays: ArrayCache | None = None,
) -> Frames:
    """Read frames of structure channels, or map them where they need not fit into memory.

    Parameters
    ----------
    path
        A file, a folder of TIFF files (in order of their names, each adding its frames), several files of one
        channel each, ``package:DISTRIBUTION/FILE``, or ``synthetic:NAME?frames=…&seed=…``.
    axes
        One letter for each axis of a file, such as ``"NCYX"``; None = as the file says.
    channels
        Index or name of each structure channel; None = all. Channels of one file each carry the file's name.
    arrays
        None = pixels are read into memory. Else they stay in their files, and what these hold in another form, such
        as compressed, is brought into files there; its origin says which images these are.

    Raises
    ------
    DataError
        If the images cannot be read or used: the value, the rule, the remedy.
    """
    if isinstance(path, tuple):
        frames = _read_one_file_a_channel(path, axes, arrays)
        where = ", ".join(path)
    else:
        frames = _read(path, axes, single=False, arrays=arrays)
        where = path
    chosen = _choose(frames, channels, where, arrays)
    check_pixels(chosen.pixels, where)
    return chosen


def read_image(path: str, *, axes: str | None = None) -> Frames:
    """Read superimposed images, C = 1, for prediction; see `read_frames`.

    Raises
    ------
    DataError
        If the images cannot be read or used, or have several channels.
    """
    frames = _read(path, axes, single=True)
    if frames.pixels.shape[1] != 1:
        refuse_channels(path, frames.pixels.shape[1])
    check_pixels(frames.pixels, path)
    return frames


def refuse_channels(where: str, count: int) -> NoReturn:
    """Raise the error for a superimposed image that has several channels."""
    raise DataError(
        f"{where} has {count} channels, but a superimposed image has one: save that channel as its "
        "own file, or set the axes if what was taken for channels is something else"
    )


def write_tiff(
    path: Path, image: NDArray[Any], *, channel_names: tuple[str, ...], pixel_size_um: tuple[float, float] | None
) -> None:
    """Write float32 images that ImageJ opens as a hyperstack; the file appears whole or not at all.

    Parameters
    ----------
    image
        (C, Y, X) or (N, C, Y, X).
    pixel_size_um
        (y, x), or None if it is not known.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    stack = np.asarray(image, np.float32)
    metadata: dict[str, Any] = {"axes": "TCYX"[-stack.ndim :]}
    if stack.ndim == 3:
        stack = stack[None]
        metadata["axes"] = "TCYX"
    metadata["Labels"] = list(channel_names) * len(stack)
    resolution = None
    if pixel_size_um is not None:
        metadata["unit"] = "um"
        resolution = (1 / pixel_size_um[1], 1 / pixel_size_um[0])
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        tifffile.imwrite(temporary, stack, imagej=True, resolution=resolution, metadata=metadata)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(f"{path} cannot be written ({error}): choose a folder that exists and has room") from error


def _read(name: str, axes: str | None, *, single: bool, arrays: ArrayCache | None = None) -> Frames:
    if name.startswith(SYNTHETIC_PREFIX):
        # Only here: what draws them takes longer to load than most files take to read.
        from usplit_core.data.synthetic import generate

        pixels, channel_names = generate(name.removeprefix(SYNTHETIC_PREFIX))
        return Frames(pixels, channel_names, None)
    path = locate(name)
    files = tiff_files(path) if path.is_dir() and not is_zarr(path) else [path]
    parts = [_read_one(file, axes, single=single, arrays=arrays, alone=len(files) == 1) for file in files]
    for file, part in zip(files, parts, strict=True):
        if part.pixels.shape[1:] != parts[0].pixels.shape[1:] or part.pixels.dtype != parts[0].pixels.dtype:
            raise DataError(
                f"{_outline(file, part)} but {_outline(files[0], parts[0])}: files of one folder must agree in "
                "channels, rows, columns and type; move the others away"
            )
    if len(parts) == 1:
        return parts[0]
    return parts[0]._replace(pixels=_join([part.pixels for part in parts], 0, arrays))


def _join(parts: list[NDArray[Any]], axis: int, arrays: ArrayCache | None) -> NDArray[Any]:
    """Return the pixels of several arrays along an axis."""
    if arrays is None:
        return np.concatenate(parts, axis=axis)
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)

    def fill(into: NDArray[Any]) -> None:
        start = 0
        for part in parts:
            place = (slice(None),) * axis + (slice(start, start + part.shape[axis]),)
            into[place] = part
            start += part.shape[axis]

    return shared_array(arrays.of(joined=axis), tuple(shape), np.result_type(*parts), fill)


def _read_one(path: Path, axes: str | None, *, single: bool, arrays: ArrayCache | None, alone: bool) -> Frames:
    stack = read_file(path, axes_wanted=None if axes is None else len(axes), arrays=arrays)
    if stack.spans_files and not alone:  # each file shows the whole image: its frames would come several times
        raise DataError(
            f"{path} and other files hold one image together, which each of them shows whole: name one of the files "
            f"instead of the folder, {path}"
        )
    pixels = arrange(stack.pixels, stack.axes, axes=axes, single=single, where=str(path), arrays=arrays)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    count = pixels.shape[1]
    names = stack.channel_names if len(stack.channel_names) == count else ()
    return Frames(pixels, names or tuple(f"channel {index}" for index in range(count)), stack.pixel_size_um)


def _read_one_file_a_channel(names: tuple[str, ...], axes: str | None, arrays: ArrayCache | None) -> Frames:
    parts = [_read(name, axes, single=True, arrays=arrays) for name in names]
    for name, part in zip(names, parts, strict=True):
        if part.pixels.shape[1] != 1:
            raise DataError(
                f"{name} has {part.pixels.shape[1]} channels: where data.path names several files, each holds one "
                "structure channel; split this one, or set data.axes if what was taken for channels are frames"
            )
        if part.pixels.shape != parts[0].pixels.shape:
            raise DataError(
                f"{_outline(name, part)} but {_outline(names[0], parts[0])}: files of the structure channels must "
                "agree in frames, rows and columns"
            )
    pixels = _join([part.pixels for part in parts], 1, arrays)
    return Frames(pixels, tuple(Path(name).name.split(".")[0] for name in names), parts[0].pixel_size_um)


def tiff_files(folder: Path) -> list[Path]:
    """Return the TIFF files of a folder in order of their names.

    Raises
    ------
    DataError
        If it holds none, or may not be read.
    """
    with reachable(str(folder)):
        entries = sorted(folder.iterdir())
    # Hidden files hold no images: macOS leaves ._NAME beside each file that it writes to disks of other systems.
    files = [entry for entry in entries if entry.suffix.lower() in TIFF_SUFFIXES and not entry.name.startswith(".")]
    if not files:
        raise DataError(
            f"the folder {folder} holds no TIFF files: name a folder of .tif files, or a file of one of the formats "
            f"{', '.join(SUFFIXES)}"
        )
    return files


def _choose(frames: Frames, channels: tuple[int | str, ...] | None, where: str, arrays: ArrayCache | None) -> Frames:
    if channels is None:
        return frames
    indices = [_channel_index(channel, frames.channel_names, where) for channel in channels]
    if len(set(indices)) < len(indices):
        raise DataError(f"data.channels = {list(channels)} names one channel of {where} twice: name each once")
    names = tuple(frames.channel_names[index] for index in indices)
    if indices == list(range(frames.pixels.shape[1])):
        return frames
    if arrays is None:
        return frames._replace(pixels=frames.pixels[:, indices], channel_names=names)
    chosen = [frames.pixels[:, index : index + 1] for index in indices]
    return frames._replace(pixels=_join(chosen, 1, arrays.of(channels=indices)), channel_names=names)


def _channel_index(channel: int | str, names: tuple[str, ...], where: str) -> int:
    if isinstance(channel, str):
        if channel in names:
            return names.index(channel)
        raise DataError(f"data.channels names {channel!r}, which {where} does not have; {nearest(channel, names)}")
    if 0 <= channel < len(names):
        return channel
    if len(names) == 1:
        raise DataError(
            f"data.channels asks for channel {channel}, but {where} has one channel: give one file for each structure "
            "channel in data.path, or set data.axes if another axis counts the channels"
        )
    raise DataError(
        f"data.channels asks for channel {channel}, but {where} has {len(names)} channels, counted from 0: "
        f"use 0 to {len(names) - 1}"
    )


def check_pixels(pixels: NDArray[Any], where: str) -> None:
    """Refuse pixels (N, C, Y, X) that are no finite real numbers, or none at all.

    Raises
    ------
    DataError
        With the first bad pixel.
    """
    if pixels.dtype.kind not in "iuf":
        raise DataError(
            f"{where} holds {pixels.dtype} pixels, but intensities are integers or real numbers: "
            "save the images as 8-bit, 16-bit or float32"
        )
    if pixels.dtype.kind == "f" and pixels.itemsize > 8:
        raise DataError(f"{where} holds {pixels.dtype} pixels, which no network computes with: save them as float32")
    if pixels.size == 0:
        raise DataError(f"{where} holds no pixels (shape {pixels.shape}): give at least one frame")
    if pixels.dtype.kind != "f":
        return
    bad = [np.argwhere(~np.isfinite(frame)) for frame in pixels]
    count = sum(len(found) for found in bad)
    if count:
        number = next(index for index, found in enumerate(bad) if len(found))
        channel, row, column = bad[number][0]
        raise DataError(
            f"{where} holds {count} pixels that are NaN or infinite, the first in frame {number}, channel {channel}, "
            f"row {row}, column {column}: replace them, or leave those frames out"
        )


def _outline(name: str | Path, frames: Frames) -> str:
    count, channels, height, width = frames.pixels.shape
    return f"{name} has {count} x {channels} x {height} x {width} (N, C, Y, X) {frames.pixels.dtype} pixels"
