"""How many frames, channels and pixels image files hold, without reading the pixels where the format allows."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from usplit_core.data.axes import arrange
from usplit_core.data.files import TIFF_SUFFIXES, describe_tiff, readable
from usplit_core.data.frames import SYNTHETIC_PREFIX, read_frames, tiff_files
from usplit_core.data.locate import locate
from usplit_core.errors import DataError


class Header(NamedTuple):
    """Frames (N, C, Y, X) as their files describe them."""

    shape: tuple[int, int, int, int]
    channel_names: tuple[str, ...]


def read_header(path: str | tuple[str, ...], *, axes: str | None = None) -> Header:
    """Return what `usplit_core.data.frames.read_frames` would return, but for the pixels.

    TIFF and .npy files are not read beyond their headers; others are read and dropped.

    Raises
    ------
    DataError
        If the files cannot be read, or their axes cannot be told.
    """
    if isinstance(path, tuple):
        headers = [_read(name, axes, single=True) for name in path]
        frames, _, height, width = headers[0].shape
        if any(header.shape != (frames, 1, height, width) for header in headers):
            listed = ", ".join(f"{name} has {header.shape}" for name, header in zip(path, headers, strict=True))
            raise DataError(f"{listed} (N, C, Y, X): several files hold one structure channel each, all of one size")
        return Header((frames, len(path), height, width), tuple(Path(name).name.split(".")[0] for name in path))
    return _read(path, axes, single=False)


def _read(name: str, axes: str | None, *, single: bool) -> Header:
    if name.startswith(SYNTHETIC_PREFIX):
        return _read_pixels(name, axes)
    path = locate(name)
    if path.is_dir() and path.suffix.lower() != ".zarr":
        # All agree but in the number of frames, or reading the pixels will refuse them.
        headers = [_read(str(file), axes, single=single) for file in tiff_files(path)]
        count = sum(header.shape[0] for header in headers)
        return headers[0]._replace(shape=(count, *headers[0].shape[1:]))
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _read_tiff(path, axes, single=single)
    if path.suffix.lower() == ".npy":
        with readable(path):
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        return _arranged(shape, "?" * len(shape), axes, single=single, where=name)
    return _read_pixels(name, axes)


def _read_pixels(name: str, axes: str | None) -> Header:
    frames = read_frames(name, axes=axes)
    count, channels, height, width = frames.pixels.shape
    return Header((count, channels, height, width), frames.channel_names)


def _read_tiff(path: Path, axes: str | None, *, single: bool) -> Header:
    with readable(path), tifffile.TiffFile(path) as file:
        series = list(file.series)
        squeeze = axes is None or len(series[0].get_shape(squeeze=True)) == len(axes)
        shape, letters = series[0].get_shape(squeeze=squeeze), series[0].get_axes(squeeze=squeeze)
        names, _ = describe_tiff(file)
    if len(series) > 1:
        shape, letters = (len(series), *shape), f"N{letters}"
    header = _arranged(shape, letters, axes, single=single, where=str(path))
    return header._replace(channel_names=names) if len(names) == header.shape[1] else header


def _arranged(shape: tuple[int, ...], letters: str, axes: str | None, *, single: bool, where: str) -> Header:
    nothing = np.broadcast_to(np.uint8(0), shape)  # has the shape, and takes one byte
    count, channels, height, width = arrange(nothing, letters, axes=axes, single=single, where=where).shape
    return Header((count, channels, height, width), tuple(f"channel {index}" for index in range(channels)))
