"""Images whose planes lie in several TIFF files are read whole and right, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.usplit_core.data.image_in_two_files import PLANES, metadata_of, write_image
from usplit_core.data.frames import read_frames, read_image
from usplit_core.data.header import read_header
from usplit_core.data.image_files import open_image
from usplit_core.data.shared_arrays import ArrayCache
from usplit_core.data.tiff_series import tiff_files_of
from usplit_core.errors import DataError


@pytest.fixture(params=[None, "zlib"])
def image(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return write_image(tmp_path, request.param)


def rows_of(path: Path) -> NDArray[Any]:
    with open_image(str(path)) as found:
        return np.stack([found.read(frame, 0, found.height) for frame in range(found.frames)])


def test_planes_of_all_files_are_read(image: Path, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(str(image)).pixels[:, 0], PLANES)
    np.testing.assert_array_equal(rows_of(image), PLANES)
    (tmp_path / "cache").mkdir()
    mapped = read_frames(str(image), axes="NYX", arrays=ArrayCache(tmp_path / "cache", {}, must_map=True))
    np.testing.assert_array_equal(mapped.pixels[:, 0], PLANES)


def test_all_files_of_an_image_are_named(image: Path, tmp_path: Path) -> None:
    other = image.with_name("cells_1.ome.tif")
    assert tiff_files_of(image) == [image, other]
    assert tiff_files_of(other) == [image, other]
    other.unlink()
    assert tiff_files_of(image) == [image]
    tifffile.imwrite(tmp_path / "alone.ome.tif", PLANES, metadata={"axes": "TYX"})
    assert tiff_files_of(tmp_path / "alone.ome.tif") == [tmp_path / "alone.ome.tif"]
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    assert tiff_files_of(tmp_path / "broken.tif") == [tmp_path / "broken.tif"]


def test_an_image_whose_other_file_is_missing_is_refused(image: Path) -> None:
    image.with_name("cells_1.ome.tif").unlink()
    message = r"lacks 2 of 4 planes, the first is plane 2: put cells_1\.ome\.tif beside it"
    for read in (rows_of, lambda path: read_frames(str(path), axes="NYX"), lambda path: read_header(str(path))):
        with pytest.raises(DataError, match=message):
            read(image)


def test_an_acquisition_that_ended_early_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, PLANES[:2], description=metadata_of(path.name, [path.name]), metadata=None)
    with tifffile.TiffFile(path) as file:
        assert file.series[0].kind == "ome"
    with pytest.raises(DataError, match="the acquisition seems to have ended early"):
        read_frames(str(path), axes="NYX")


def test_a_folder_of_the_files_of_one_image_is_refused(image: Path) -> None:
    with pytest.raises(DataError, match=r"which each of them shows whole: name one of the files .*cells_0\.ome\.tif"):
        read_frames(str(image.parent), axes="NYX")


def test_several_images_can_be_given_axes(tmp_path: Path) -> None:
    path = tmp_path / "positions.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for _ in range(3):
            writer.write(PLANES[:2], metadata={"axes": "CYX"}, photometric="minisblack")
    for axes in ("NCYX", None):
        assert read_frames(str(path), axes=axes).pixels.shape == (3, 2, 24, 32)
        assert read_header(str(path), axes=axes).shape == (3, 2, 24, 32)
    with pytest.raises(DataError, match=r"'CYX' has 3 letters, but .* has 4 axes of lengths 3 x 2 x 24 x 32"):
        read_header(str(path), axes="CYX")


def test_a_file_without_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "begun.tif"
    path.write_bytes(b"II*\0\0\0\0\0")
    for read in (rows_of, lambda path: read_frames(str(path)), lambda path: read_header(str(path))):
        with pytest.raises(DataError, match=r"begun\.tif"):
            read(path)
