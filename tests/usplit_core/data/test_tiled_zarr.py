"""What an OME-Zarr says and holds beside its pixels, against NGFF 0.4."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from usplit_core.data import ome_zarr
from usplit_core.data.tiled_zarr import TiledZarr, halve, level_sizes, refuse_zarr_place
from usplit_core.data.written_image import Layout, WrittenImage
from usplit_core.errors import OutputError

PIXELS = np.random.default_rng(0).normal(100, 10, size=(6, 2, 601, 300)).astype(np.float32)


def save(folder: Path, frame_axes: str, lengths: tuple[int, ...], pixel_size: tuple[float, float] | None) -> Path:
    path = folder / "cells_split.ome.zarr"
    layout = Layout(frame_axes, lengths, ("actin", "nuclei"), 601, 300, pixel_size)
    image = WrittenImage(path, layout, "abc", TiledZarr)
    for frame in range(int(np.prod(lengths))):
        image.write(frame, PIXELS[frame])
    image.finish()
    return path


def described(path: Path) -> dict[str, Any]:
    return dict(json.loads((path / ".zattrs").read_text("utf-8")))


def level(path: Path, name: str) -> NDArray[Any]:
    array = zarr.open_group(str(path), mode="r")[name]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[...])


def test_axes_are_of_the_kinds_and_in_the_order_of_the_standard(tmp_path: Path) -> None:
    path = save(tmp_path, "ZT", (2, 3), (0.2, 0.1))
    image = described(path)["multiscales"][0]

    assert image["version"] == "0.4"
    assert image["name"] == "cells_split"
    assert image["axes"] == [
        {"name": "t", "type": "time"},
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    expected = PIXELS.reshape(2, 3, 2, 601, 300).transpose(1, 2, 0, 3, 4)  # (T, C, Z, Y, X)
    np.testing.assert_array_equal(level(path, "0"), expected)


def test_every_resolution_has_half_the_pixels_and_twice_the_pixel_size(tmp_path: Path) -> None:
    path = save(tmp_path, "T", (1,), (0.2, 0.1))
    datasets = described(path)["multiscales"][0]["datasets"]

    assert [dataset["path"] for dataset in datasets] == ["0", "1", "2"]
    for number, dataset in enumerate(datasets):
        scale, *shift = dataset["coordinateTransformations"]
        assert level(path, dataset["path"]).shape == (1, 2, 601 // 2**number, 300 // 2**number)
        assert scale == {"type": "scale", "scale": pytest.approx([1, 1, 0.2 * 2**number, 0.1 * 2**number])}
        # The corner of the first pixel is that of the first pixel of the full resolution.
        offset = shift[0]["translation"][2:] if shift else [0, 0]
        corner = np.subtract(offset, np.multiply(scale["scale"][2:], 0.5))
        np.testing.assert_allclose(corner, [-0.1, -0.05])
        if number:
            finer = level(path, str(number - 1))[0, 1]
            np.testing.assert_allclose(level(path, str(number))[0, 1], halve(finer), rtol=1e-6)
    np.testing.assert_allclose(level(path, "2")[0, 0, 0, 0], PIXELS[0, 0, :4, :4].mean(), rtol=1e-6)


def test_channels_have_name_colour_and_range(tmp_path: Path) -> None:
    first, second = described(save(tmp_path, "T", (6,), None))["omero"]["channels"]

    assert (first["label"], second["label"]) == ("actin", "nuclei")
    assert first["color"] != second["color"]
    window = first["window"]
    assert PIXELS[:, 0].min() <= window["min"] <= window["start"] < window["end"] <= window["max"] <= PIXELS.max()


def test_an_unknown_pixel_size_has_no_unit(tmp_path: Path) -> None:
    path = save(tmp_path, "", (), None)

    assert all("unit" not in axis for axis in described(path)["multiscales"][0]["axes"])
    assert ome_zarr.open_ome_zarr(path).pixel_size_um is None


def test_arrays_are_of_zarr_2_in_chunks_in_folders(tmp_path: Path) -> None:
    path = save(tmp_path, "T", (1,), None)
    array = json.loads((path / "0" / ".zarray").read_text("utf-8"))

    assert (array["zarr_format"], array["dimension_separator"]) == (2, "/")
    assert array["chunks"] == [1, 1, 256, 256]
    assert (path / "0" / "0" / "1" / "2" / "1").is_file()


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((256, 256), [(256, 256)]),
        ((257, 9), [(257, 9), (128, 4)]),
        ((1, 4000), [(1, 4000)]),
        ((600, 1300), [(600, 1300), (300, 650), (150, 325), (75, 162)]),
    ],
)
def test_resolutions_go_down_to_one_chunk(size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    assert level_sizes(*size) == sizes


def test_zarr_is_asked_for_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usplit_core.data.tiled_zarr.has_zarr", lambda: False)
    with pytest.raises(OutputError, match="pip install zarr"):
        refuse_zarr_place(tmp_path / "a.ome.zarr")
