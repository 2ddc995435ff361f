"""OME-TIFF files that are written piece by piece: tiled BigTIFF, float32, whole under their name or not at all.

Until a file is finished it lies beside its place as ``.NAME.partial``, and ``.NAME.progress`` says how much of it is
done, so that the same call can go on with it.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from usplit_core.errors import OutputError

TILE_PX = 256
_DTYPE = np.dtype("<f4")


class Layout(NamedTuple):
    """What a file will hold.

    Parameters
    ----------
    frame_axes, frame_lengths
        Axes that count frames, such as ``"TZ"``, and their lengths; the last varies fastest.
    channel_names
        C names.
    height, width
        Y and X of a frame, in px.
    pixel_size_um
        (y, x), or None if it is not known.
    """

    frame_axes: str
    frame_lengths: tuple[int, ...]
    channel_names: tuple[str, ...]
    height: int
    width: int
    pixel_size_um: tuple[float, float] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of all axes."""
        return (*self.frame_lengths, len(self.channel_names), self.height, self.width)

    @property
    def tile_rows(self) -> int:
        """Rows of tiles in a frame."""
        return -(-self.height // TILE_PX)


def is_finished(path: Path, identity: str) -> bool:
    """Say whether `path` is a file that `TiledTiff.finish` left there for the same `identity`."""
    if not path.is_file():
        return False
    try:
        with tifffile.TiffFile(path) as file:
            return f"identity {identity}" in (file.ome_metadata or "")
    except (tifffile.TiffFileError, OSError, ValueError):
        return False


class TiledTiff:
    """One file on its way. Frames are written from top to bottom, one after the other."""

    def __init__(self, path: Path, layout: Layout, identity: str) -> None:
        """Begin a file, or go on with the one that was begun for the same `identity`.

        Raises
        ------
        OutputError
            If it cannot be written, or there is no room for it.
        """
        self.path, self.layout, self._identity = path, layout, identity
        self._partial, self._progress = (path.with_name(f".{path.name}.{end}") for end in ("partial", "progress"))
        with _writable(path):
            self._done = self._read_progress()  # rows of tiles, over all frames
            if not self._done:
                self._create()
            with tifffile.TiffFile(self._partial) as file:
                self._offsets = [page.dataoffsets for page in file.pages]
            self._file: BinaryIO = self._partial.open("r+b")
        self._waiting: list[NDArray[np.float32]] = []  # rows (C, rows, X) that do not fill a row of tiles yet

    def rows_done(self, frame: int) -> int:
        """Return how many rows of a frame are in the file already."""
        return min(max(self._done - frame * self.layout.tile_rows, 0) * TILE_PX, self.layout.height)

    def write(self, frame: int, rows: NDArray[np.float32]) -> None:
        """Append rows (C, rows, X) to a frame.

        Raises
        ------
        OutputError
            If the disk is full or gone.
        """
        self._waiting.append(rows)
        while True:
            wanted = min(TILE_PX, self.layout.height - self.rows_done(frame))
            if not wanted or sum(part.shape[1] for part in self._waiting) < wanted:
                return
            waiting = np.concatenate(self._waiting, axis=1)
            self._waiting = [waiting[:, wanted:]]
            with _writable(self.path):
                self._write_tiles(frame, self.rows_done(frame) // TILE_PX, waiting[:, :wanted])
                self._done += 1
                _replace(self._progress, json.dumps({"identity": self._identity, "done": self._done}))

    def finish(self) -> None:
        """Give the file its name.

        Raises
        ------
        OutputError
            If that cannot be done.
        """
        with _writable(self.path):
            self._file.close()
            self._partial.replace(self.path)
            self._progress.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the file as it is, for the same call to go on with."""
        self._file.close()

    def discard(self) -> None:
        """Remove what has been written."""
        self._file.close()
        self._partial.unlink(missing_ok=True)
        self._progress.unlink(missing_ok=True)

    def _read_progress(self) -> int:
        if not (self._partial.is_file() and self._progress.is_file()):
            return 0
        progress: dict[str, Any] = json.loads(self._progress.read_text("utf-8"))
        return int(progress["done"]) if progress["identity"] == self._identity else 0

    def _create(self) -> None:
        """Write the file with every pixel 0, so that its tiles have their places and there is room for them."""
        needed = int(np.prod(self.layout.shape, dtype=np.int64)) * _DTYPE.itemsize
        self._partial.unlink(missing_ok=True)
        free = shutil.disk_usage(self._partial.parent).free
        if free < needed:
            raise OutputError(
                f"{self.path} needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free there: "
                "make room, or choose another folder"
            )
        axes = f"{self.layout.frame_axes}CYX"
        metadata: dict[str, Any] = {
            "axes": axes,
            "Channel": {"Name": list(self.layout.channel_names)},
            "Description": f"Split image of usplit, identity {self._identity}",
        }
        if self.layout.pixel_size_um is not None:
            for axis, size in zip("YX", self.layout.pixel_size_um, strict=True):
                metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
        try:
            with tifffile.TiffWriter(self._partial, bigtiff=True, byteorder="<", ome=True) as writer:
                writer.write(
                    None,
                    shape=self.layout.shape,
                    dtype=_DTYPE,
                    tile=(TILE_PX, TILE_PX),
                    photometric="minisblack",
                    metadata=metadata,
                )
        except OSError:
            self._partial.unlink(missing_ok=True)
            raise

    def _write_tiles(self, frame: int, row: int, pixels: NDArray[np.float32]) -> None:
        """Write one row of tiles (C, up to 256, X) of a frame."""
        channels, height, width = pixels.shape
        across = -(-width // TILE_PX)
        tiles = np.zeros((channels, TILE_PX, across * TILE_PX), _DTYPE)
        tiles[:, :height, :width] = pixels
        for channel in range(channels):
            offsets = self._offsets[frame * channels + channel]
            for column in range(across):
                self._file.seek(offsets[row * across + column])
                self._file.write(tiles[channel, :, column * TILE_PX : (column + 1) * TILE_PX].tobytes())
        self._file.flush()


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}): choose a folder that exists and has room") from error


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)
