"""Image files, read by rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from usplit_core.data.frames import read_image
from usplit_core.data.image_files import check_image, open_image
from usplit_core.errors import DataError

STACK = np.random.default_rng(0).integers(0, 60_000, (3, 70, 50), np.uint16)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> str:
    tifffile.imwrite(path, pixels, **options)
    return str(path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"compression": "zlib", "rowsperstrip": 9},
        {"compression": "zlib", "tile": (32, 16)},
        {"tile": (16, 32)},
        {"byteorder": ">", "rowsperstrip": 16},
        {"byteorder": ">"},
        {"compression": "lzw", "predictor": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_rows_are_those_of_the_whole_file(tmp_path: Path, options: dict[str, Any], dtype: Any) -> None:
    path = save(tmp_path / "a.tif", STACK.astype(dtype), **{"photometric": "minisblack", **options})
    expected = read_image(path).pixels[:, 0]

    with open_image(path) as image:
        assert (image.frames, image.height, image.width) == expected.shape
        for frame, top, bottom in ((0, 0, 70), (2, 0, 5), (2, 5, 40), (1, 69, 70), (2, 30, 31), (0, 12, 12 + 33)):
            rows = image.read(frame, top, bottom)
            np.testing.assert_array_equal(rows, expected[frame, top:bottom])
            assert rows.dtype == expected.dtype


@pytest.mark.parametrize(
    ("axes", "shape", "frame_axes"),
    [
        ("YX", (70, 50), ""),
        ("ZYX", (3, 70, 50), "Z"),
        ("TZCYX", (2, 3, 1, 70, 50), "TZ"),
        ("TZYX", (2, 3, 70, 50), "TZ"),
    ],
)
def test_axes_and_pixel_size_are_kept(tmp_path: Path, axes: str, shape: tuple[int, ...], frame_axes: str) -> None:
    metadata = {"axes": axes, "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2}
    path = save(tmp_path / "a.ome.tif", np.ones(shape, np.uint16), photometric="minisblack", metadata=metadata)

    with open_image(path) as image:
        assert image.frame_axes == frame_axes
        assert image.frames == np.prod(shape[:-2])
        assert image.pixel_size_um == (0.2, 0.1)


def test_other_formats_are_read_as_a_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK)

    with open_image(str(tmp_path / "a.npy")) as image:
        np.testing.assert_array_equal(image.read(1, 3, 9), STACK[1, 3:9])


def test_planes_that_are_no_pages_are_read_as_a_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", STACK, photometric="minisblack", metadata={"axes": "YXT"})

    with open_image(path, axes="YXT") as image:
        assert (image.frames, image.height, image.width) == (50, 3, 70)
        np.testing.assert_array_equal(image.read(7, 0, 2), STACK[:2, :, 7])


def test_several_channels_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "CYX"})

    with pytest.raises(DataError, match="has 3 channels"), open_image(path):
        pass


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "a.tif", STACK, compression="zlib", rowsperstrip=8, photometric="minisblack"))
    path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(DataError, match=r"a\.tif"), open_image(str(path)) as image:
        image.read(2, 0, 70)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_found(tmp_path: Path, bad: float) -> None:
    pixels = STACK.astype(np.float32)
    pixels[2, 65, 3] = bad
    path = save(tmp_path / "a.tif", pixels, photometric="minisblack")

    with open_image(path) as image, pytest.raises(DataError, match="frame 2, rows from 0 on, holds 1 pixels"):
        check_image(image)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_frame_that_shows_nothing_is_refused(tmp_path: Path, dtype: Any) -> None:
    pixels = STACK.astype(dtype)
    pixels[1] = 7
    path = save(tmp_path / "a.tif", pixels, photometric="minisblack")

    with open_image(path) as image, pytest.raises(DataError, match=r"every pixel of frame 1 of .* is 7"):
        check_image(image)
