"""Superimposed images in files, read by rows where the format allows, so that a frame need not fit into memory.

TIFF files are read strip by strip or tile by tile, OME-Zarr by rows of chunks; of other formats the whole file is read
at once.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from usplit_core.data.axes import CHANNEL_AXES, FRAME_AXES, name_axes
from usplit_core.data.block_rows import BlockRows
from usplit_core.data.files import TIFF_SUFFIXES, describe_tiff, readable
from usplit_core.data.frames import check_pixels, read_image, refuse_channels
from usplit_core.data.locate import locate
from usplit_core.data.ome_zarr import FrameReader, is_zarr, open_ome_zarr
from usplit_core.data.tiff_series import tiff_layout, tiff_series
from usplit_core.errors import DataError

#: Rows that are looked at together when a file is checked.
_CHECKED_ROWS = 512


class LazyImage(NamedTuple):
    """Frames of one superimposed image each.

    Parameters
    ----------
    name
        The file, for messages.
    frame_axes, frame_lengths
        Axes that count frames, such as ``"TZ"``, and their lengths; the last varies fastest.
    height, width
        Y and X of a frame, in px.
    pixel_size_um
        (y, x), or None if it is not known.
    read
        Frame, first row and the one after the last -> pixels (rows, X).
    """

    name: str
    frame_axes: str
    frame_lengths: tuple[int, ...]
    height: int
    width: int
    pixel_size_um: tuple[float, float] | None
    read: Callable[[int, int, int], NDArray[Any]]

    @property
    def frames(self) -> int:
        """N."""
        return math.prod(self.frame_lengths)


@contextmanager
def open_image(name: str, *, axes: str | None = None) -> Iterator[LazyImage]:
    """Open an image file for reading by rows.

    Parameters
    ----------
    name, axes
        As in `usplit_core.data.frames.read_image`.

    Raises
    ------
    DataError
        If the file cannot be read or used.
    """
    path = locate(name)
    with ExitStack() as stack:
        image: LazyImage | None = None
        if path.suffix.lower() in TIFF_SUFFIXES and path.is_file():
            with readable(path):
                file = stack.enter_context(tifffile.TiffFile(path))
            image = _open_tiff(file, path, axes)
        elif path.is_dir() and is_zarr(path):
            image = _open_zarr(path, axes)
        yield _read_whole(name, axes) if image is None else image


def check_image(image: LazyImage) -> None:
    """Read every row once, and refuse pixels that are no finite numbers and frames that show nothing.

    Raises
    ------
    DataError
        With the place, the rule and the remedy.
    """
    for frame in range(image.frames):
        lowest, highest = math.inf, -math.inf
        for top in range(0, image.height, _CHECKED_ROWS):
            rows = image.read(frame, top, min(top + _CHECKED_ROWS, image.height))
            _check_rows(rows, image.name, frame, top)
            lowest, highest = min(lowest, float(rows.min())), max(highest, float(rows.max()))
            if rows.dtype.kind in "iu" and lowest < highest:
                break  # integers are finite, and this frame shows something
        if lowest == highest:
            raise DataError(
                f"every pixel of frame {frame} of {image.name} is {lowest:g}: there is nothing to split; "
                "check the file, or leave that frame out"
            )


def _check_rows(rows: NDArray[Any], name: str, frame: int, top: int) -> None:
    """Refuse rows of a frame that are no finite real numbers, with the place of the first bad pixel in the file."""
    if rows.dtype.kind != "f":
        check_pixels(rows[None, None], name)
        return
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, column = bad[0].tolist()
        raise DataError(
            f"{name} holds pixels that are NaN or infinite, the first in frame {frame}, row {top + row}, "
            f"column {column}: replace them, or leave that frame out"
        )


def _read_whole(name: str, axes: str | None) -> LazyImage:
    frames = read_image(name, axes=axes)
    pixels = frames.pixels[:, 0]  # (N, Y, X)
    count, height, width = pixels.shape
    return LazyImage(
        name, "T", (count,), height, width, frames.pixel_size_um, lambda frame, top, bottom: pixels[frame, top:bottom]
    )


class _TiffReader:
    """Reads rows of frames of Y and X px that are the pages of a TIFF file, one after the other."""

    def __init__(self, file: tifffile.TiffFile, path: Path, height: int, width: int) -> None:
        self._path, self._file, self._series = path, file, file.series[0]
        self._height, self._width = height, width
        self._dtype = np.dtype(self._series.dtype).newbyteorder("=")
        self._block_px = self._series.keyframe.chunks[0]
        self._blocks = BlockRows(self._decode, self._block_px)

    def read(self, frame: int, top: int, bottom: int) -> NDArray[Any]:
        """See `LazyImage`."""
        with readable(self._path):
            if self._series.dataoffset is not None:
                return self._read_uncompressed(self._series.dataoffset, frame, top, bottom)
            return self._blocks.read(frame, top, bottom)

    def _read_uncompressed(self, start: int, frame: int, top: int, bottom: int) -> NDArray[Any]:
        stored = self._dtype.newbyteorder(self._file.byteorder)
        offset = start + (frame * self._height + top) * self._width * stored.itemsize
        count = (bottom - top) * self._width
        pixels = np.fromfile(self._path, stored, count, offset=offset)
        if len(pixels) < count:
            raise ValueError(f"it ends before row {bottom} of frame {frame}")
        return pixels.reshape(-1, self._width).astype(self._dtype, copy=False)

    def _decode(self, frame: int, row: int) -> NDArray[Any]:
        """Return one row of strips or tiles of a frame."""
        page = self._series.pages[frame]
        assert page is not None  # see `tiff_series`
        assert page.keyframe is not None
        decode, tables = page.keyframe.decode, page.jpegtables
        across = self._series.keyframe.chunked[1]
        numbers = range(row * across, (row + 1) * across)
        pixels = np.zeros((min(self._block_px, self._height - row * self._block_px), self._width), self._dtype)
        segments = self._file.filehandle.read_segments(
            [page.dataoffsets[number] for number in numbers],
            [page.databytecounts[number] for number in numbers],
            indices=numbers,
        )
        for data, number in segments:
            block, (_, _, _, left, _), (_, rows, columns, _) = decode(data, number, jpegtables=tables)
            if block is not None:  # None stands for pixels that the file leaves out, which are 0
                pixels[:rows, left : left + columns] = block[0, : len(pixels), : self._width - left, 0]
        return pixels


def _open_tiff(file: tifffile.TiffFile, path: Path, axes: str | None) -> LazyImage | None:
    """Return the file for reading by rows, or None where its pages are not the frames one after the other."""
    with readable(path):
        series = tiff_series(file, path)
        first = series[0]
        shape, file_axes = tiff_layout(series, None if axes is None else len(axes))
        keyframe = first.keyframe
        _, pixel_size_um = describe_tiff(file)
        in_one = len(series) == 1 and not first.is_multifile
        is_plain = in_one and keyframe.samplesperpixel == 1 and len(shape) >= 2
    if not is_plain:
        return None
    letters = _frame_axes(shape, file_axes, axes, path)
    if not letters.endswith("YX") or keyframe.shape != shape[-2:] or keyframe.imagedepth != 1:
        return None
    if first.dataoffset is None and len(first.pages) != math.prod(shape[:-2]):
        return None
    return _lazy(path, shape, letters, pixel_size_um, _TiffReader(file, path, shape[-2], shape[-1]).read)


def _open_zarr(path: Path, axes: str | None) -> LazyImage | None:
    """Return the image for reading by rows, or None where Y and X are not its last axes."""
    with readable(path):
        image = open_ome_zarr(path)
        shape = tuple(map(int, image.array.shape))
        reader = FrameReader(image)
    letters = _frame_axes(shape, image.axes, axes, path)
    if not letters.endswith("YX"):
        return None

    def read(frame: int, top: int, bottom: int) -> NDArray[Any]:
        with readable(path):
            return reader.read(frame, top, bottom)

    return _lazy(path, shape, letters, image.pixel_size_um, read)


def _frame_axes(shape: tuple[int, ...], file_axes: str, axes: str | None, path: Path) -> str:
    """Return a letter for each axis of a file of one channel."""
    letters = name_axes(shape, file_axes, axes=axes, single=True, where=str(path))
    channels = math.prod(length for letter, length in zip(letters, shape, strict=True) if letter in CHANNEL_AXES)
    if channels != 1:
        refuse_channels(str(path), channels)
    return letters


def _lazy(
    path: Path,
    shape: tuple[int, ...],
    letters: str,
    pixel_size_um: tuple[float, float] | None,
    read: Callable[[int, int, int], NDArray[Any]],
) -> LazyImage:
    counted = [(letter, length) for letter, length in zip(letters, shape, strict=True) if letter in FRAME_AXES]
    return LazyImage(
        name=str(path),
        frame_axes="".join(letter for letter, _ in counted),
        frame_lengths=tuple(length for _, length in counted),
        height=shape[-2],
        width=shape[-1],
        pixel_size_um=pixel_size_um,
        read=read,
    )
