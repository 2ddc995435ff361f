"""Image files, read by rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
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


def save_zarr(path: Path, pixels: NDArray[Any], axes: str, version: str = "0.4", **options: Any) -> str:
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    array = group.create_array("full", shape=pixels.shape, dtype=pixels.dtype, **options)
    array[...] = pixels
    named = [{"name": axis, **({"unit": "nanometer"} if axis in "yx" else {})} for axis in axes]
    scale = [{"type": "scale", "scale": [200 if axis == "y" else 100 if axis == "x" else 1 for axis in axes]}]
    image = {"axes": named, "datasets": [{"path": "full", "coordinateTransformations": scale}]}
    ome: dict[str, Any] = {"multiscales": [image]}
    group.attrs.update(ome if version == "0.4" else {"ome": {"version": version, **ome}})
    return str(path)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4"])
@pytest.mark.parametrize(
    ("axes", "shape", "options"),
    [
        ("yx", (70, 50), {"chunks": (16, 16)}),
        ("zyx", (3, 70, 50), {"chunks": (2, 30, 50)}),
        ("tczyx", (3, 1, 1, 70, 50), {"chunks": (1, 1, 1, 9, 20)}),
        ("tzyx", (1, 3, 70, 50), {"chunks": (1, 1, 100, 100)}),
        ("tyx", (3, 70, 50), {"chunks": (1, 10, 10), "shards": (1, 20, 50), "version": "0.5"}),
        ("zcyx", (3, 1, 70, 50), {"chunks": (1, 1, 32, 32), "version": "0.5"}),
    ],
)
def test_rows_of_ome_zarr_are_those_of_the_whole_image(
    tmp_path: Path, axes: str, shape: tuple[int, ...], options: dict[str, Any], dtype: str
) -> None:
    pixels = STACK[: int(np.prod(shape[:-2]))].reshape(shape).astype(dtype)
    path = save_zarr(tmp_path / "a.zarr", pixels, axes, **options)

    with open_image(path) as image:
        assert (image.frames, image.height, image.width) == (int(np.prod(shape[:-2])), 70, 50)
        assert image.frame_axes == "".join(axis for axis in axes if axis in "tz").upper()
        assert image.pixel_size_um == pytest.approx((0.2, 0.1))
        for frame, top, bottom in ((0, 0, 70), (image.frames - 1, 0, 5), (0, 12, 45), (image.frames - 1, 69, 70)):
            rows = image.read(frame, top, bottom)
            np.testing.assert_array_equal(rows, STACK[frame, top:bottom])
            assert rows.dtype == np.dtype(dtype).newbyteorder("=")


def test_rows_of_ome_zarr_are_decoded_once_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_zarr(tmp_path / "a.zarr", STACK, "tyx", chunks=(1, 16, 16))
    asked: list[object] = []
    read = zarr.Array.__getitem__

    def count(array: Any, place: Any) -> Any:
        asked.append(place)
        return read(array, place)

    monkeypatch.setattr(zarr.Array, "__getitem__", count)

    with open_image(path) as image:
        assert not asked
        for top in range(0, 70, 5):
            image.read(1, top, min(top + 9, 70))

    assert asked == [(1, slice(top, min(top + 16, 70))) for top in range(0, 70, 16)]


def test_ome_zarr_in_another_order_of_axes_is_read_as_a_whole(tmp_path: Path) -> None:
    path = save_zarr(tmp_path / "a.zarr", STACK.transpose(0, 2, 1), "txy", chunks=(1, 16, 16))

    with open_image(path) as image:
        np.testing.assert_array_equal(image.read(2, 3, 9), STACK[2, 3:9])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [({"plate": {}}, "several images: name one"), ({"bioformats2raw.layout": 3}, "several images"), ({}, "metadata")],
)
def test_a_zarr_group_that_is_no_image_is_refused(tmp_path: Path, attributes: dict[str, Any], message: str) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2).attrs.update(attributes)

    with pytest.raises(DataError, match=message), open_image(str(tmp_path / "a.zarr")):
        pass


def test_an_image_inside_a_group_can_be_named(tmp_path: Path) -> None:
    save_zarr(tmp_path / "a.zarr" / "0", STACK, "tyx", chunks=(1, 16, 16))

    with open_image(str(tmp_path / "a.zarr" / "0")) as image:
        assert image.frames == 3


def test_damaged_and_superimposed_channels_of_ome_zarr_are_refused(tmp_path: Path) -> None:
    path = save_zarr(tmp_path / "a.zarr", STACK, "tyx", chunks=(1, 16, 16))
    (tmp_path / "a.zarr" / "full" / "1.1.1").write_bytes(b"nothing")
    with open_image(path) as image, pytest.raises(DataError, match="cannot be read"):
        image.read(1, 0, 70)

    with (
        pytest.raises(DataError, match="has 3 channels"),
        open_image(save_zarr(tmp_path / "b.zarr", STACK, "cyx", chunks=(1, 16, 16))),
    ):
        pass


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
    pixels = np.tile(STACK, (1, 10, 1)).astype(np.float32)
    pixels[2, 565, 3] = bad
    path = save(tmp_path / "a.tif", pixels, photometric="minisblack")

    with open_image(path) as image, pytest.raises(DataError, match="the first in frame 2, row 565, column 3"):
        check_image(image)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_frame_that_shows_nothing_is_refused(tmp_path: Path, dtype: Any) -> None:
    pixels = STACK.astype(dtype)
    pixels[1] = 7
    path = save(tmp_path / "a.tif", pixels, photometric="minisblack")

    with open_image(path) as image, pytest.raises(DataError, match=r"every pixel of frame 1 of .* is 7"):
        check_image(image)
