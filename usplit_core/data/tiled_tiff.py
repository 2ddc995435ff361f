"""OME-TIFF files that are written piece by piece: tiled BigTIFF, float32."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from usplit_core.data.written_image import DTYPE, TILE_PX, Layout
from usplit_core.errors import OutputError

#: How its description tells a split image from the files of others, which are never replaced.
_SPLIT_IMAGE = "Split image of usplit"


def is_finished_tiff(path: Path, identity: str) -> bool:
    """Say whether `path` is a whole file that was written for `identity`."""
    return _has(path, f"identity {identity}")


def refuse_tiff_place(path: Path) -> None:
    """Raise an error if the name of a file to be written is that of something else.

    Raises
    ------
    OutputError
        With the remedy.
    """
    if path.exists() and not _has(path, _SPLIT_IMAGE):
        raise OutputError(
            f"{path} cannot be written: something else has that name; move it away, or choose another name"
        )


def _has(path: Path, words: str) -> bool:
    """Say whether `path` is a TIFF file whose OME metadata hold some words."""
    if not path.is_file():
        return False
    try:
        with tifffile.TiffFile(path) as file:
            return words in (file.ome_metadata or "")
    except (tifffile.TiffFileError, OSError, ValueError):
        return False


class TiledTiff:
    """One file on its way; see `usplit_core.data.written_image.Container`."""

    def __init__(self, path: Path, layout: Layout, identity: str) -> None:
        self._path, self._layout, self._identity = path, layout, identity
        self._offsets: list[Any] = []  # of the tiles of each page

    def needed_bytes(self) -> int:
        """See `Container`; tiles at the right and at the bottom are as large as all others."""
        *counted, height, width = self._layout.shape
        tiles = -(-height // TILE_PX) * -(-width // TILE_PX) * int(np.prod(counted, dtype=np.int64))
        return tiles * TILE_PX**2 * DTYPE.itemsize

    def create(self) -> None:
        """Write the file with every pixel 0, so that its tiles have their places."""
        metadata: dict[str, Any] = {
            "axes": f"{self._layout.frame_axes}CYX",
            "Channel": {"Name": list(self._layout.channel_names)},
            "Description": f"{_SPLIT_IMAGE}, identity {self._identity}",
        }
        if self._layout.pixel_size_um is not None:
            for axis, size in zip("YX", self._layout.pixel_size_um, strict=True):
                metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
        with tifffile.TiffWriter(self._path, bigtiff=True, byteorder="<", ome=True) as writer:
            writer.write(
                None,
                shape=self._layout.shape,
                dtype=DTYPE,
                tile=(TILE_PX, TILE_PX),
                photometric="minisblack",
                metadata=metadata,
            )

    def open(self) -> None:
        """See `Container`."""
        with tifffile.TiffFile(self._path) as file:
            self._offsets = [page.dataoffsets for page in file.pages]
        self._file: BinaryIO = self._path.open("r+b")

    def write_tiles(self, frame: int, row: int, pixels: NDArray[np.float32]) -> None:
        """See `Container`."""
        channels, height, width = pixels.shape
        across = -(-width // TILE_PX)
        tiles = np.zeros((channels, TILE_PX, across * TILE_PX), DTYPE)
        tiles[:, :height, :width] = pixels
        for channel in range(channels):
            offsets = self._offsets[frame * channels + channel]
            for column in range(across):
                self._file.seek(offsets[row * across + column])
                self._file.write(tiles[channel, :, column * TILE_PX : (column + 1) * TILE_PX].tobytes())
        self._file.flush()

    def complete(self) -> None:
        """Every pixel is in its place already."""

    def close(self) -> None:
        """See `Container`."""
        self._file.close()
