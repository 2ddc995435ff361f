"""Images of every format come in as (N, C, Y, X), and what cannot be used is refused with a remedy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from usplit_core.data.frames import read_frames, read_image, write_tiff
from usplit_core.errors import DataError, OutputError

FRAMES = np.random.default_rng(0).integers(0, 4000, (5, 2, 20, 30), np.uint16)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> str:
    tifffile.imwrite(path, pixels, **options)
    return str(path)


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ("NCYX", {"metadata": {"axes": "NCYX"}}),
        ("NCYX", {"imagej": True, "metadata": {"axes": "TCYX"}}),
        ("NCYX", {"imagej": True, "metadata": {"axes": "ZCYX"}}),
        ("NCYX", {"ome": True, "metadata": {"axes": "TCYX"}}),
        ("CNYX", {"ome": True, "metadata": {"axes": "CZYX"}}),
        ("NCYX", {"metadata": None, "photometric": "minisblack"}),
        ("NCYX", {"metadata": None, "photometric": "minisblack", "byteorder": ">"}),
        ("NYXC", {"photometric": "minisblack"}),
        ("NYXC", {"metadata": {"axes": "TYXC"}, "photometric": "minisblack"}),
    ],
)
def test_tiff_axes_are_taken_from_the_file(tmp_path: Path, axes: str, options: dict[str, Any]) -> None:
    stored = np.ascontiguousarray(FRAMES.transpose(["NCYX".index(letter) for letter in axes]))
    if axes == "NCYX" and options.get("metadata", 0) is None:
        options = {**options, "metadata": {"axes": "QQYX"}}
    frames = read_frames(save(tmp_path / "cells.tif", stored, **options))
    np.testing.assert_array_equal(frames.pixels, FRAMES)
    assert frames.pixels.dtype == np.uint16
    assert frames.channel_names == ("channel 0", "channel 1")


def test_time_and_depth_fold_into_frames(tmp_path: Path) -> None:
    stack = np.random.default_rng(1).integers(0, 9, (2, 3, 4, 8, 9), np.uint8)
    path = save(tmp_path / "movie.tif", stack, imagej=True, metadata={"axes": "TZCYX"})
    np.testing.assert_array_equal(read_frames(path).pixels, stack.reshape(6, 4, 8, 9))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((20, 30), (1, 1)),
        ((2, 20, 30), (1, 2)),
        ((20, 30, 2), (1, 2)),
        ((5, 2, 20, 30), (5, 2)),
        ((5, 20, 30, 3), (5, 3)),
    ],
)
def test_safe_shapes_need_no_axes(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    np.save(tmp_path / "cells.npy", np.zeros(shape, np.float32))
    assert read_frames(str(tmp_path / "cells.npy")).pixels.shape == (*expected, 20, 30)


def test_unclear_shapes_ask_for_axes(tmp_path: Path) -> None:
    path = tmp_path / "cells.npy"
    np.save(path, np.zeros((12, 20, 30)))
    with pytest.raises(DataError, match=r"12 x 20 x 30 .*set data\.axes.*'CYX'"):
        read_frames(str(path))
    assert read_frames(str(path), axes="NYX").pixels.shape == (12, 1, 20, 30)
    assert read_frames(str(path), axes="cyx").pixels.shape == (1, 12, 20, 30)
    assert read_image(str(path)).pixels.shape == (12, 1, 20, 30)
    for wrong in ("YX", "NCYX", "NYY", "QYX", "TZC"):
        with pytest.raises(DataError, match=r"data\.axes"):
            read_frames(str(path), axes=wrong)


def test_axes_of_length_one_may_be_named(tmp_path: Path) -> None:
    path = save(tmp_path / "one.tif", FRAMES[:1], imagej=True, metadata={"axes": "TCYX"})
    for axes in ("CYX", "TZCYXS"):
        np.testing.assert_array_equal(read_frames(path, axes=axes).pixels, FRAMES[:1])


def test_channels_are_chosen_by_index_or_name(tmp_path: Path) -> None:
    metadata = {"axes": "TCYX", "Channel": {"Name": ["actin", "mito"]}, "PhysicalSizeX": 0.1, "PhysicalSizeY": 200}
    metadata["PhysicalSizeYUnit"] = "nm"
    path = save(tmp_path / "cells.ome.tif", FRAMES, ome=True, metadata=metadata)
    frames = read_frames(path, channels=("mito", 0))
    np.testing.assert_array_equal(frames.pixels, FRAMES[:, ::-1])
    assert frames.channel_names == ("mito", "actin")
    assert frames.pixel_size_um == pytest.approx((0.2, 0.1))
    for channels, message in [
        (("actn",), "did you mean 'actin'"),
        ((0, 2), "has 2 channels, counted from 0: use 0 to 1"),
        ((-1,), "use 0 to 1"),
        ((0, "actin"), "twice"),
    ]:
        with pytest.raises(DataError, match=message):
            read_frames(path, channels=channels)


def test_one_channel_where_two_are_needed_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "grey.tif", FRAMES[0, 0])
    with pytest.raises(DataError, match="has one channel: give one file for each"):
        read_frames(path, channels=(0, 1))


def test_a_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        save(tmp_path / f"field_{number}.tif", FRAMES[number : number + 1], imagej=True, metadata={"axes": "TCYX"})
    (tmp_path / "notes.txt").write_text("not an image")
    np.testing.assert_array_equal(read_frames(str(tmp_path)).pixels, FRAMES[1:4])
    save(tmp_path / "field_4.tif", FRAMES[:, :, :10], imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(DataError, match=r"field_4\.tif has 5 x 2 x 10 x 30 .* must agree"):
        read_frames(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no TIFF files"):
        read_frames(str(tmp_path / "empty"))


def test_one_file_a_channel(tmp_path: Path) -> None:
    paths = tuple(save(tmp_path / f"{name}.tif", FRAMES[:, at]) for at, name in enumerate(("actin", "mito")))
    frames = read_frames(paths, channels=(0, 1))
    np.testing.assert_array_equal(frames.pixels, FRAMES)
    assert frames.channel_names == ("actin", "mito")
    shorter = save(tmp_path / "short.tif", FRAMES[:2, 0])
    with pytest.raises(DataError, match="must agree in frames"):
        read_frames((paths[0], shorter))
    double = save(tmp_path / "double.tif", FRAMES, metadata={"axes": "NCYX"})
    with pytest.raises(DataError, match="each holds one structure channel"):
        read_frames((paths[0], double))


@pytest.mark.parametrize("dtype", [bool, np.complex64])
def test_pixels_that_are_no_intensities_are_refused(tmp_path: Path, dtype: Any) -> None:
    np.save(tmp_path / "cells.npy", np.zeros((2, 20, 30), dtype))
    with pytest.raises(DataError, match="intensities are integers or real numbers"):
        read_frames(str(tmp_path / "cells.npy"))


def test_pixels_that_are_no_numbers_are_counted_and_found(tmp_path: Path) -> None:
    pixels = FRAMES.astype(np.float32)
    pixels[2, 1, 3, 4], pixels[4, 0, 0, 0] = np.nan, np.inf
    path = save(tmp_path / "cells.tif", pixels, metadata={"axes": "NCYX"})
    with pytest.raises(DataError, match=r"2 pixels .* frame 2, channel 1, row 3, column 4"):
        read_frames(path)


def test_superimposed_images_have_one_channel(tmp_path: Path) -> None:
    path = save(tmp_path / "mixed.tif", FRAMES[:, 0])
    assert read_image(path).pixels.shape == (5, 1, 20, 30)
    pair = save(tmp_path / "pair.tif", FRAMES, metadata={"axes": "NCYX"})
    with pytest.raises(DataError, match="has 2 channels, but a superimposed image has one"):
        read_image(pair)


@pytest.mark.parametrize("count", [1, 3])
def test_written_tiffs_are_hyperstacks_that_come_back(tmp_path: Path, count: int) -> None:
    path = tmp_path / "split.tif"
    image = FRAMES[0] / np.float32(7) if count == 1 else FRAMES[:count] / np.float32(7)
    write_tiff(path, image, channel_names=("actin", "mito"), pixel_size_um=(0.2, 0.1))
    frames = read_frames(str(path))
    np.testing.assert_array_equal(frames.pixels, image.reshape(count, 2, 20, 30))
    assert frames.channel_names == ("actin", "mito")
    assert frames.pixel_size_um == pytest.approx((0.2, 0.1))
    assert [entry.name for entry in tmp_path.iterdir()] == ["split.tif"]
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert file.pages.first.dtype == np.float32


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_tiff(tmp_path / "nowhere" / "a.tif", FRAMES[0], channel_names=("a", "b"), pixel_size_um=None)
