"""The images that a TIFF file holds or names: OME metadata can spread the planes of one over several files."""

from pathlib import Path
from xml.etree import ElementTree

import tifffile

from usplit_core.errors import DataError


def tiff_series(file: tifffile.TiffFile, path: Path) -> list[tifffile.TiffPageSeries]:
    """Return the images of a TIFF file: at least one, all of one shape, all of their planes there.

    Raises
    ------
    DataError
        If it holds none, images of different shape, or names planes that are nowhere.
    """
    series = list(file.series)
    if not series:
        raise DataError(f"{path} holds no image: its writing was broken off; copy it again, or save it again as TIFF")
    first = series[0]
    if any((one.shape, one.axes) != (first.shape, first.axes) for one in series):
        shapes = ", ".join(" x ".join(map(str, one.shape)) for one in series)
        raise DataError(f"{path} holds images of different shape ({shapes}): save each as its own file")
    for one in series:
        _refuse_missing_planes(one, path)
    return series


def tiff_layout(series: list[tifffile.TiffPageSeries], axes_wanted: int | None) -> tuple[tuple[int, ...], str]:
    """Return the shape of the images of a file together, and a letter for each axis; several images are axis N.

    Axes of length 1 are left away, unless the `axes_wanted` by the user are as many as there are with them.
    """
    several = len(series) > 1
    whole = len(series[0].get_shape(squeeze=False)) + several
    shape, axes = (
        series[0].get_shape(squeeze=axes_wanted != whole),
        series[0].get_axes(squeeze=axes_wanted != whole),
    )
    return ((len(series), *shape), f"N{axes}") if several else (shape, axes)


def tiff_files_of(path: Path) -> list[Path]:
    """Return the files whose planes the TIFF file at `path` shows, itself and those that its OME metadata name.

    A file that is named and missing is left out, as are those of a file that cannot be read: whoever reads it refuses.
    """
    try:
        with tifffile.TiffFile(path) as file:
            named = _named_files(file)
    except Exception:  # whatever a damaged file makes the reader stumble over
        named = set()
    return sorted({path, *(path.parent / name for name in named if (path.parent / name).is_file())})


def _refuse_missing_planes(series: tifffile.TiffPageSeries, path: Path) -> None:
    if series.kind != "ome":  # only OME metadata name planes apart from the pages that hold them
        return
    missing = [number for number, page in enumerate(series.pages) if page is None]
    if not missing:
        return
    file = series.parent
    named = set() if file is None else _named_files(file)
    gone = sorted(name for name in named if not (path.parent / name).is_file())
    remedy = (
        f"put {' and '.join(gone)} beside it, as the microscope wrote them"
        if gone
        else "the acquisition seems to have ended early; save the planes that are there as an image of their own"
    )
    raise DataError(f"{path} lacks {len(missing)} of {len(series)} planes, the first is plane {missing[0]}: {remedy}")


def _named_files(file: tifffile.TiffFile) -> set[str]:
    if not file.ome_metadata:
        return set()
    found = ElementTree.fromstring(file.ome_metadata).iterfind(".//{*}UUID")
    return {name for one in found if (name := one.get("FileName"))}
