"""How many frames, channels and pixels image files hold, without reading the pixels where the format allows."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile

from usplit_core.data.axes import arrange
from usplit_core.data.files import TIFF_SUFFIXES, describe_tiff, readable
from usplit_core.data.frames import SYNTHETIC_PREFIX, read_frames, tiff_files
from usplit_core.data.locate import locate
from usplit_core.data.ome_zarr import is_zarr, open_ome_zarr
from usplit_core.data.tiff_series import tiff_layout, tiff_series
from usplit_core.errors import DataError


class Header(NamedTuple):
    """Frames (N, C, Y, X) as their files describe them."""

    shape: tuple[int, int, int, int]
    channel_names: tuple[str, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """What the pixels take in memory."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(path: str | tuple[str, ...], *, axes: str | None = None) -> Header:
    """Return what `usplit_core.data.frames.read_frames` would return, but for the pixels.

    TIFF, .npy and OME-Zarr files are not read beyond their headers; others are read and dropped.

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
        channel_names = tuple(Path(name).name.split(".")[0] for name in path)
        return Header((frames, len(path), height, width), channel_names, headers[0].dtype)
    return _read(path, axes, single=False)


def _read(name: str, axes: str | None, *, single: bool) -> Header:
    if name.startswith(SYNTHETIC_PREFIX):
        return _read_pixels(name, axes)
    path = locate(name)
    if path.is_dir() and is_zarr(path):
        with readable(path):
            image = open_ome_zarr(path)
        header = _arranged(image.array.shape, image.dtype, image.axes, axes, single=single, where=name)
        return _named(header, image.channel_names)
    if path.is_dir():
        # All agree but in the number of frames, or reading the pixels will refuse them.
        headers = [_read(str(file), axes, single=single) for file in tiff_files(path)]
        count = sum(header.shape[0] for header in headers)
        return headers[0]._replace(shape=(count, *headers[0].shape[1:]))
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _read_tiff(path, axes, single=single)
    if path.suffix.lower() == ".npy":
        with readable(path):
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return _arranged(mapped.shape, mapped.dtype, "?" * mapped.ndim, axes, single=single, where=name)
    return _read_pixels(name, axes)


def _read_pixels(name: str, axes: str | None) -> Header:
    frames = read_frames(name, axes=axes)
    count, channels, height, width = frames.pixels.shape
    return Header((count, channels, height, width), frames.channel_names, frames.pixels.dtype)


def _read_tiff(path: Path, axes: str | None, *, single: bool) -> Header:
    with readable(path), tifffile.TiffFile(path) as file:
        series = tiff_series(file, path)
        shape, letters = tiff_layout(series, None if axes is None else len(axes))
        names, _ = describe_tiff(file)
        dtype = np.dtype(series[0].dtype)
    return _named(_arranged(shape, dtype, letters, axes, single=single, where=str(path)), names)


def _named(header: Header, names: tuple[str, ...]) -> Header:
    return header._replace(channel_names=names) if len(names) == header.shape[1] else header


def _arranged(
    shape: tuple[int, ...], dtype: np.dtype[Any], letters: str, axes: str | None, *, single: bool, where: str
) -> Header:
    nothing = np.broadcast_to(np.uint8(0), shape)  # has the shape, and takes one byte
    count, channels, height, width = arrange(nothing, letters, axes=axes, single=single, where=where).shape
    return Header((count, channels, height, width), tuple(f"channel {index}" for index in range(channels)), dtype)
