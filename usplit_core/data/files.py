"""One image file of any format that we read: its pixels as they are, and what it says about them."""

import logging
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from usplit_core.data.ome_zarr import is_zarr, open_ome_zarr
from usplit_core.data.shared_arrays import ArrayCache, shared_array
from usplit_core.data.tiff_series import tiff_files_of, tiff_layout, tiff_series
from usplit_core.errors import DataError, UserError

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".npy", ".npz", ".zarr")

#: Micrometres in the units that ImageJ and OME write.
MICROMETRES = {"um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00B5m": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3}

_BYTE_ORDERS = {"little": "<", "big": ">"}


class Stack(NamedTuple):
    """Pixels, a letter for each of their axes (``?`` = not named), and what else the file says."""

    pixels: NDArray[Any]
    axes: str
    channel_names: tuple[str, ...] = ()
    pixel_size_um: tuple[float, float] | None = None  # (y, x)
    spans_files: bool = False  # other files hold planes of it


def read_file(path: Path, *, axes_wanted: int | None = None, arrays: ArrayCache | None = None) -> Stack:
    """Read one file, or map it.

    Parameters
    ----------
    axes_wanted
        How many axes the user names; where a TIFF file has axes of length 1, they are kept if that makes the
        number right.
    arrays
        Where pixels go that a file holds in another form than memory does, such as compressed; others are mapped from
        where they are. None = all are read into memory, as are those of an .npz file.

    Raises
    ------
    DataError
        If the format is none of ours or the file is damaged.
    """
    suffix = path.suffix.lower()
    with readable(path):
        if suffix in TIFF_SUFFIXES:
            return _read_series(path, axes_wanted, arrays)
        if suffix == ".npy" and arrays is not None:
            return _map_numpy(path, arrays)
        if suffix in (".npy", ".npz"):
            return _read_numpy(path)
        if is_zarr(path):
            return _read_zarr(path, arrays)
    raise DataError(f"{path} is of no format that is read here: use one of {', '.join(SUFFIXES)}")


def files_of(path: Path) -> list[Path]:
    """Return all files that hold pixels of the image or folder at `path`, in order of their names."""
    if path.is_dir():
        return sorted(entry for entry in path.rglob("*") if entry.is_file())
    return tiff_files_of(path) if path.suffix.lower() in TIFF_SUFFIXES else [path]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever reading a damaged file raises or logs into one message.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    complaints = _Complaints()
    logger = logging.getLogger("tifffile")
    logger.addHandler(complaints)
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise DataError(
            f"{path} does not fit into memory ({error}): use a machine with more of it, or split the file; "
            "if it is not that large, it is damaged"
        ) from error
    except Exception as error:  # readers of damaged files raise whatever they stumble over, not errors of a kind
        raise DataError(
            f"{path} cannot be read as {path.suffix.lower() or '.zarr'} ({error}): "
            "open it in an image viewer and save it as TIFF again"
        ) from error
    finally:
        logger.removeHandler(complaints)
    if complaints.messages:
        raise DataError(f"{path} is damaged or incomplete ({complaints.messages[0]}): copy it again from its source")


class _Complaints(logging.Handler):
    """Collects what tifffile reports as an error without raising it, such as pages that are missing."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _read_series(path: Path, axes_wanted: int | None, arrays: ArrayCache | None) -> Stack:
    with tifffile.TiffFile(path) as file:
        series = tiff_series(file, path)
        shape, axes = tiff_layout(series, axes_wanted)
        if arrays is not None:
            pixels = _map_series(path, file, series, arrays)
        elif len(series) == 1:
            pixels = series[0].asarray()
        else:
            pixels = np.stack([one.asarray() for one in series])
        names, pixel_size = describe_tiff(file)
        spans_files = series[0].is_multifile
    return Stack(pixels.reshape(shape), axes, names, pixel_size, spans_files)


def _map_series(
    path: Path, file: tifffile.TiffFile, series: list[tifffile.TiffPageSeries], arrays: ArrayCache
) -> NDArray[Any]:
    """Return the images of a TIFF file, one after the other, mapped where they lie side by side as in memory."""
    first = series[0]
    dtype, at = np.dtype(first.dtype), first.dataoffset
    as_in_memory = dtype.itemsize == 1 or file.byteorder == _BYTE_ORDERS[sys.byteorder]
    if len(series) == 1 and at is not None and as_in_memory and not first.is_multifile:
        return np.memmap(path, dtype.newbyteorder("="), "r", at, first.shape)

    def fill(into: NDArray[Any]) -> None:
        for one, target in zip(series, into, strict=True):
            one.asarray(out=target)

    return shared_array(arrays.of(file=str(path)), (len(series), *first.shape), dtype.newbyteorder("="), fill)


def describe_tiff(file: tifffile.TiffFile) -> tuple[tuple[str, ...], tuple[float, float] | None]:
    """Return channel names and pixel size as OME or ImageJ write them."""
    if file.ome_metadata:
        return _describe_ome(file.ome_metadata)
    if file.imagej_metadata:
        return _describe_imagej(file, file.imagej_metadata)
    return (), None


def _describe_ome(xml: str) -> tuple[tuple[str, ...], tuple[float, float] | None]:
    pixels = ElementTree.fromstring(xml).find(".//{*}Pixels")
    if pixels is None:
        return (), None
    names = [channel.get("Name") for channel in pixels.findall("{*}Channel")]
    sizes = [
        _micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "YX"
    ]
    return tuple(name or f"channel {index}" for index, name in enumerate(names)) if any(names) else (), _pair(sizes)


def _describe_imagej(
    file: tifffile.TiffFile, metadata: dict[str, Any]
) -> tuple[tuple[str, ...], tuple[float, float] | None]:
    count = int(metadata.get("channels", 1))
    labels = metadata.get("Labels", [])
    labels = [labels] if isinstance(labels, str) else list(labels)
    # Labels belong to planes, channel fastest: they name channels only if every frame repeats them.
    names = labels[:count] if labels and labels == labels[:count] * (len(labels) // count) else []
    tags = [file.pages.first.tags.get(f"{axis}Resolution") for axis in "YX"]
    sizes = []
    for tag in tags:
        pixels, units = tag.value if tag is not None else (0, 1)
        sizes.append(_micrometres(units / pixels if pixels else None, str(metadata.get("unit", ""))))
    return tuple(names), _pair(sizes)


def _read_numpy(path: Path) -> Stack:
    if path.suffix.lower() == ".npy":
        pixels = np.load(path, allow_pickle=False)
        return Stack(pixels, "?" * pixels.ndim)
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if not arrays:
        raise DataError(f"{path} holds no array: store one array, or one for each structure channel")
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1:
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(f"{path} holds arrays of different shape ({listed}): store one for each structure channel")
    if len(arrays) == 1:
        (pixels,) = arrays.values()
        return Stack(pixels, "?" * pixels.ndim)
    pixels = np.stack(list(arrays.values()))
    return Stack(pixels, "C" + "N" * (pixels.ndim - 3) + "YX", tuple(arrays))


def _map_numpy(path: Path, arrays: ArrayCache) -> Stack:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    pixels = mapped
    if not mapped.dtype.isnative:

        def fill(into: NDArray[Any]) -> None:
            into[...] = mapped

        pixels = shared_array(arrays.of(file=str(path)), mapped.shape, mapped.dtype.newbyteorder("="), fill)
    return Stack(pixels, "?" * pixels.ndim)


def _read_zarr(path: Path, arrays: ArrayCache | None) -> Stack:
    image = open_ome_zarr(path)
    if arrays is None:
        pixels = image.read()
    else:
        pixels = shared_array(arrays.of(file=str(path)), image.array.shape, image.dtype, image.read_into)
    return Stack(pixels, image.axes, image.channel_names, image.pixel_size_um)


def _micrometres(size: str | float | None, unit: str) -> float | None:
    """Return a size in µm; None where none is told, or something that is no size."""
    if size is None or unit not in MICROMETRES:
        return None
    micrometres = float(size) * MICROMETRES[unit]
    return micrometres if 0 < micrometres < math.inf else None


def _pair(sizes: list[float | None]) -> tuple[float, float] | None:
    height, width = sizes
    return None if height is None or width is None else (height, width)
