"""OME-Zarr images (NGFF 0.1 to 0.5, Zarr 2 and 3), read by rows of chunks. Needs the package zarr."""

import importlib
import importlib.util
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from usplit_core.data.block_rows import BlockRows
from usplit_core.errors import DataError

#: Micrometres in the units of length that OME-Zarr names.
MICROMETRES = {"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4}
#: Files of which a Zarr group has one.
_GROUP_FILES = (".zgroup", ".zattrs", "zarr.json")


class ZarrImage(NamedTuple):
    """An image of full resolution that has not been read, a letter for each of its axes, and what its group says."""

    array: Any
    axes: str
    channel_names: tuple[str, ...]
    pixel_size_um: tuple[float, float] | None  # (y, x)

    def read(self) -> NDArray[Any]:
        """Return all pixels."""
        return _native(np.asarray(self.array[...]))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels, as memory holds them."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype).newbyteorder("=")
        return dtype

    def read_into(self, into: NDArray[Any]) -> None:
        """Read all pixels into an array, the rows of one row of chunks at a time."""
        lengths, chunks = self.array.shape[:-1], self.array.chunks[:-1]
        steps = [range(0, length, chunk) for length, chunk in zip(lengths, chunks, strict=True)]
        for start in product(*steps):
            block = tuple(slice(first, first + chunk) for first, chunk in zip(start, chunks, strict=True))
            into[block] = self.array[block]


def is_zarr(path: Path) -> bool:
    """Say whether a path is a Zarr group, or at least called one."""
    return path.suffix.lower() == ".zarr" or is_group(path)


def is_group(path: Path) -> bool:
    """Say whether a folder holds a Zarr group."""
    with suppress(OSError):  # of a folder that may not be looked into, whoever reads it says so
        return any((path / name).is_file() for name in _GROUP_FILES)
    return False


def has_zarr() -> bool:
    """Say whether the package zarr is installed."""
    return importlib.util.find_spec("zarr") is not None


def open_ome_zarr(path: Path) -> ZarrImage:
    """Open the image of an OME-Zarr group; of several resolutions the first, which is the full one.

    Raises
    ------
    DataError
        If zarr is not installed, or the group is no image.
    """
    if not has_zarr():
        raise DataError(f"{path} needs the package zarr: run `pip install zarr`, or save the images as OME-TIFF")
    group = importlib.import_module("zarr").open_group(str(path), mode="r")
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    if "multiscales" not in ome:
        _refuse_group(path, ome)
    image = ome["multiscales"][0]
    native = image["datasets"][0]
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", "tczyx")]
    names = tuple(channel.get("label", "") for channel in ome.get("omero", {}).get("channels", []))
    return ZarrImage(
        group[native["path"]],
        "".join(str(axis["name"])[:1].upper() for axis in axes),
        names if all(names) else (),
        _pixel_size(axes, (native, image)),
    )


def _refuse_group(path: Path, ome: dict[str, Any]) -> None:
    if "plate" in ome or "well" in ome or "bioformats2raw.layout" in ome:
        raise DataError(f"{path} holds several images: name one of them, such as {path / '0'}")
    raise DataError(f"{path} has no OME-Zarr metadata (multiscales): save the images as OME-Zarr or OME-TIFF")


def _pixel_size(axes: list[dict[str, Any]], described: tuple[dict[str, Any], ...]) -> tuple[float, float] | None:
    """Return (y, x) in µm: the scale of the resolution times that of the image."""
    scale = np.ones(len(axes))
    steps = [step for each in described for step in each.get("coordinateTransformations", [])]
    for step in steps:
        if step["type"] == "scale" and "scale" in step:
            scale *= np.asarray(step["scale"], np.float64)
    sizes = {axis["name"]: (size, axis.get("unit")) for axis, size in zip(axes, scale.tolist(), strict=True)}
    if not steps or any(sizes.get(name, (0, None))[1] not in MICROMETRES for name in "yx"):
        return None
    height, width = (sizes[name][0] * MICROMETRES[str(sizes[name][1])] for name in "yx")
    return height, width


class FrameReader:
    """Reads rows of the frames of an image whose last axes are Y and X; all other axes count frames, or have length 1.

    Memory is that of the chunks that the rows lie in.
    """

    def __init__(self, image: ZarrImage) -> None:
        self._array = image.array
        self._height = image.array.shape[-2]
        self._block_px = image.array.chunks[-2]
        self._blocks = BlockRows(self._decode, self._block_px)

    def read(self, frame: int, top: int, bottom: int) -> NDArray[Any]:
        """Return rows `top` up to `bottom` of a frame, (rows, X)."""
        return self._blocks.read(frame, top, bottom)

    def _decode(self, frame: int, row: int) -> NDArray[Any]:
        place = tuple(map(int, np.unravel_index(frame, self._array.shape[:-2]))) if self._array.ndim > 2 else ()
        rows = slice(row * self._block_px, min((row + 1) * self._block_px, self._height))
        return _native(np.asarray(self._array[(*place, rows)]))


def _native(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
