"""OME-Zarr images that are written piece by piece, with their smaller resolutions. Needs the package zarr.

They are NGFF 0.4 on Zarr 2: every reader knows it (Bio-Formats and the converters around it know nothing newer, and
napari reads 0.5 only with a recent ome-zarr), and one array in chunks of 256 px needs nothing that 0.5 adds.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usplit_core.data.ome_zarr import has_zarr
from usplit_core.data.written_image import DTYPE, TILE_PX, Layout
from usplit_core.errors import OutputError

VERSION = "0.4"
#: What every reader of Zarr 2 can decode.
_COMPRESSOR = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}
_COLOURS = ("FF00FF", "00FF00", "00FFFF", "FFFF00", "FF0000", "0000FF")
_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def is_finished_zarr(path: Path, identity: str) -> bool:
    """Say whether `path` is a whole image that was written for `identity`."""
    return _identity_of(path) == identity


def refuse_zarr_place(path: Path) -> None:
    """Raise an error if the name of an image to be written is that of something else, or zarr is not installed.

    Raises
    ------
    OutputError
        With the remedy.
    """
    if not has_zarr():
        raise OutputError(f"writing {path} needs the package zarr: run `pip install zarr`, or choose OME-TIFF")
    is_empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not is_empty and _identity_of(path) is None:
        raise OutputError(
            f"{path} cannot be written: something else has that name; move it away, or choose another name"
        )


def _identity_of(path: Path) -> str | None:
    """Return what the split image at `path` was written for; None of everything else, such as the images of others."""
    try:
        attributes: dict[str, Any] = json.loads((path / ".zattrs").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    identity: str | None = attributes.get("usplit", {}).get("identity")
    return identity


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return Y and X of every resolution: halved and rounded down until one chunk holds a frame."""
    sizes = [(height, width)]
    while max(sizes[-1]) > TILE_PX and min(sizes[-1]) > 1:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


class TiledZarr:
    """One image on its way; see `usplit_core.data.written_image.Container`."""

    def __init__(self, path: Path, layout: Layout, identity: str) -> None:
        self._path, self._layout, self._identity = path, layout, identity
        self._axes = "".join(axis for axis in "tczyx" if axis in f"{layout.frame_axes}CYX".lower())
        self._sizes = level_sizes(layout.height, layout.width)
        self._levels: list[Any] = []  # Zarr arrays

    def needed_bytes(self) -> int:
        """Return what it needs where nothing can be compressed, as is nearly so for predictions."""
        pixels = sum(height * width for height, width in self._sizes)
        return int(np.prod(self._layout.shape[:-2], dtype=np.int64)) * pixels * DTYPE.itemsize

    def create(self) -> None:
        """See `Container`."""
        group = importlib.import_module("zarr").open_group(str(self._path), mode="w", zarr_format=2)
        for level, size in enumerate(self._sizes):
            lengths = dict(zip(self._layout.frame_axes.lower(), self._layout.frame_lengths, strict=True))
            lengths |= {"c": len(self._layout.channel_names), "y": size[0], "x": size[1]}
            group.create_array(
                str(level),
                shape=tuple(lengths[axis] for axis in self._axes),
                chunks=tuple(min(TILE_PX, lengths[axis]) if axis in "yx" else 1 for axis in self._axes),
                dtype=DTYPE,
                fill_value=0,
                compressors=_COMPRESSOR,
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )

    def open(self) -> None:
        """See `Container`."""
        group = importlib.import_module("zarr").open_group(str(self._path), mode="r+", zarr_format=2)
        self._levels = [group[str(level)] for level in range(len(self._sizes))]

    def write_tiles(self, frame: int, row: int, pixels: NDArray[np.float32]) -> None:
        """See `Container`."""
        for channel, image in enumerate(pixels):
            self._levels[0][self._rows(frame, channel, row * TILE_PX, row * TILE_PX + image.shape[0])] = image

    def complete(self) -> None:
        """Make the smaller resolutions, each of the one before, and describe the image."""
        for level in range(1, len(self._levels)):
            for frame, channel in self._images():
                self._halve(level, frame, channel)
        attributes = {
            "multiscales": [self._multiscales()],
            "omero": self._omero(),
            "usplit": {"identity": self._identity},
        }
        (self._path / ".zattrs").write_text(json.dumps(attributes, indent=1), "utf-8")

    def close(self) -> None:
        """Nothing is held open."""

    def _halve(self, level: int, frame: int, channel: int) -> None:
        """Make one image of a resolution, a row of chunks at a time."""
        height = self._sizes[level][0]
        for top in range(0, height, TILE_PX):
            end = min(top + TILE_PX, height)
            finer = self._levels[level - 1][self._rows(frame, channel, 2 * top, 2 * end)]
            self._levels[level][self._rows(frame, channel, top, end)] = halve(finer)

    def _rows(self, frame: int, channel: int, top: int, end: int) -> tuple[int | slice, ...]:
        """Return where rows of an image lie in the array of a resolution."""
        counted = np.unravel_index(frame, self._layout.frame_lengths) if self._layout.frame_lengths else ()
        place: dict[str, int | slice] = {
            axis: int(at) for axis, at in zip(self._layout.frame_axes.lower(), counted, strict=True)
        }
        place |= {"c": channel, "y": slice(top, end), "x": slice(None)}
        return tuple(place[axis] for axis in self._axes)

    def _images(self) -> list[tuple[int, int]]:
        """Return frame and channel of every image."""
        frames = int(np.prod(self._layout.frame_lengths, dtype=np.int64))
        return [(frame, channel) for frame in range(frames) for channel in range(len(self._layout.channel_names))]

    def _multiscales(self) -> dict[str, Any]:
        known = self._layout.pixel_size_um
        height, width = known or (1.0, 1.0)
        unit = {"unit": "micrometer"} if known else {}
        axes = [{"name": axis, "type": _KINDS[axis], **(unit if axis in "yx" else {})} for axis in self._axes]
        datasets = []
        for level in range(len(self._sizes)):
            scale = {"y": height * 2**level, "x": width * 2**level}
            # The middle of the first pixel lies further in, the larger the pixel.
            shift = {"y": height * (2**level - 1) / 2, "x": width * (2**level - 1) / 2}
            steps = [{"type": "scale", "scale": [scale.get(axis, 1.0) for axis in self._axes]}]
            if level:
                steps.append({"type": "translation", "translation": [shift.get(axis, 0.0) for axis in self._axes]})
            datasets.append({"path": str(level), "coordinateTransformations": steps})
        name = self._path.name.removeprefix(".").partition(".")[0]
        return {"version": VERSION, "name": name, "axes": axes, "datasets": datasets, "type": "mean"}

    def _omero(self) -> dict[str, Any]:
        """Return how viewers show the channels: within the range that the smallest resolution has."""
        ranges = np.full((len(self._layout.channel_names), 2), (np.inf, -np.inf))
        for frame, channel in self._images():
            image = np.asarray(self._levels[-1][self._rows(frame, channel, 0, self._sizes[-1][0])])
            low, high = ranges[channel]
            ranges[channel] = min(low, float(image.min())), max(high, float(image.max()))
        channels = [
            {
                "label": name,
                "color": _COLOURS[channel % len(_COLOURS)],
                "active": not name.endswith(" std"),
                "window": {"min": low, "max": high, "start": low, "end": high},
            }
            for channel, (name, (low, high)) in enumerate(zip(self._layout.channel_names, ranges.tolist(), strict=True))
        ]
        return {"version": VERSION, "channels": channels, "rdefs": {"model": "color"}}


def halve(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the means of 2 x 2 px of an image (Y, X); what is left over at an odd end is dropped."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = np.asarray(image[: 2 * height, : 2 * width], np.float32).reshape(height, 2, width, 2)
    return np.asarray(blocks.mean(axis=(1, 3)))
