"""The formats that split images are written in."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from usplit_core.data.tiled_tiff import TiledTiff, is_finished_tiff, refuse_tiff_place
from usplit_core.data.tiled_zarr import TiledZarr, is_finished_zarr, refuse_zarr_place
from usplit_core.data.written_image import NewContainer


class OutputFormat(NamedTuple):
    """A format: how its files end, what writes them, whether one is whole, and what refuses a place for one."""

    suffix: str
    container: NewContainer
    is_finished: Callable[[Path, str], bool]
    refuse_place: Callable[[Path], None]


FORMATS = {
    "ome-tiff": OutputFormat(".ome.tif", TiledTiff, is_finished_tiff, refuse_tiff_place),
    "ome-zarr": OutputFormat(".ome.zarr", TiledZarr, is_finished_zarr, refuse_zarr_place),
}


def format_of(path: Path) -> OutputFormat:
    """Return the format that the name of a file asks for: OME-Zarr where it ends in .zarr, else OME-TIFF."""
    return FORMATS["ome-zarr" if path.suffix.lower() == ".zarr" else "ome-tiff"]
