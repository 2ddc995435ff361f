"""Images that stay in files are those that are read into memory, to the last digit of what is worked out of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from usplit_core.config import DataConfig
from usplit_core.data import shared_arrays
from usplit_core.data.content import content_hash
from usplit_core.data.frames import read_frames
from usplit_core.data.mixing import fit_statistics
from usplit_core.data.shared_arrays import ArrayCache
from usplit_core.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 60_000, (6, 3, 40, 50), np.uint16)


@pytest.fixture(autouse=True)
def _share_small_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_arrays, "_LEAST_BYTES", 0)


@pytest.fixture
def arrays(tmp_path: Path) -> ArrayCache:
    """Return an empty cache that images must be mapped from."""
    (tmp_path / "arrays").mkdir()
    return ArrayCache(tmp_path / "arrays", {}, must_map=True)


def tiff(name: str, pixels: NDArray[Any] = PIXELS, axes: str = "TCYX", **options: Any) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        tifffile.imwrite(folder / name, pixels, metadata={"axes": axes}, **{"photometric": "minisblack"} | options)
        return str(folder / name)

    return write


def npy(pixels: NDArray[Any]) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        np.save(folder / "images.npy", pixels)
        return str(folder / "images.npy")

    return write


def folder_of_files(folder: Path) -> str:
    (folder / "images").mkdir()
    for number, part in enumerate(np.split(PIXELS, 3)):
        tiff(f"{number}.tif", part)(folder / "images")
    return str(folder / "images")


def file_a_channel(folder: Path) -> tuple[str, ...]:
    for number in range(3):
        tifffile.imwrite(folder / f"{number}.tif", PIXELS[:, number], metadata={"axes": "TYX"})
    return tuple(str(folder / f"{number}.tif") for number in range(3))


def zarr_group(folder: Path) -> str:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(folder / "images.zarr"), mode="w", zarr_format=2)
    array = group.create_array("0", shape=PIXELS.shape, chunks=(1, 2, 16, 32), dtype=PIXELS.dtype)
    array[...] = PIXELS
    group.attrs["multiscales"] = [{"version": "0.4", "axes": [*"tcyx"], "datasets": [{"path": "0"}]}]
    return str(folder / "images.zarr")


#: What writes images, their axes where the file does not say them, and whether they are mapped where they are.
FORMATS: dict[str, tuple[Callable[[Path], str | tuple[str, ...]], str | None, bool]] = {
    "TIFF": (tiff("a.tif"), None, True),
    "float32 TIFF": (tiff("a.tif", PIXELS.astype(np.float32)), None, True),
    "ImageJ hyperstack, big-endian": (tiff("a.tif", imagej=True, byteorder=">"), None, False),
    "compressed TIFF": (tiff("a.tif", compression="zlib"), None, False),
    "tiled TIFF": (tiff("a.tif", tile=(16, 16)), None, False),
    "channels between time and depth": (
        tiff("a.ome.tif", PIXELS.reshape(2, 3, 3, 40, 50), axes="TCZYX"),
        None,
        False,
    ),
    "channels last": (tiff("a.tif", np.moveaxis(PIXELS, 1, -1), axes="TYXS", photometric="rgb"), None, True),
    "npy": (npy(PIXELS), "NCYX", True),
    "npy, rows last": (npy(PIXELS.T), "XYCN", True),
    "npy, big-endian": (npy(PIXELS.astype(">u2")), "NCYX", False),
    "folder": (folder_of_files, None, False),
    "a file for each channel": (file_a_channel, None, False),
    "OME-Zarr": (zarr_group, None, False),
}


def is_mapped(pixels: NDArray[Any]) -> bool:
    """Say whether pixels are a view of a file."""
    base: Any = pixels
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    return base is not None


@pytest.mark.parametrize("kind", FORMATS)
def test_mapped_images_are_those_that_are_read(kind: str, tmp_path: Path, arrays: ArrayCache) -> None:
    write, axes, in_place = FORMATS[kind]
    path = write(tmp_path)
    read, mapped = read_frames(path, axes=axes), read_frames(path, axes=axes, arrays=arrays)
    assert is_mapped(mapped.pixels)
    assert not mapped.pixels.flags.writeable
    assert mapped.pixels.dtype == read.pixels.dtype
    assert np.array_equal(mapped.pixels, read.pixels)
    assert (mapped.channel_names, mapped.pixel_size_um) == (read.channel_names, read.pixel_size_um)
    assert content_hash(mapped.pixels) == content_hash(read.pixels)
    assert any(arrays.folder.iterdir()) != in_place
    for settings in ({}, {"background_quantile": 0.1, "input_normalisation": "superimposed"}):
        data = DataConfig(path="images", channels=(0, 1, 2), **settings)
        assert fit_statistics(mapped.pixels, data) == fit_statistics(read.pixels, data)


def test_chosen_channels_are_mapped(tmp_path: Path, arrays: ArrayCache) -> None:
    path = tiff("a.tif")(tmp_path)
    for channels in ((2, 0), (0, 1)):
        mapped = read_frames(path, channels=channels, arrays=arrays)
        assert is_mapped(mapped.pixels)
        assert np.array_equal(mapped.pixels, PIXELS[:, list(channels)])


def test_what_was_brought_into_another_form_is_not_brought_again(
    tmp_path: Path, arrays: ArrayCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiff("a.tif", compression="zlib")(tmp_path)
    kept = read_frames(path, arrays=arrays)
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", lambda *_, **__: pytest.fail("decoded again"))
    assert np.array_equal(read_frames(path, arrays=arrays).pixels, kept.pixels)


def test_images_that_neither_memory_nor_a_folder_can_hold_are_refused(tmp_path: Path, arrays: ArrayCache) -> None:
    path = tiff("a.tif", compression="zlib")(tmp_path)
    with pytest.raises(DataError, match="USPLIT_CACHE"):
        read_frames(path, arrays=arrays._replace(folder=tmp_path / "none"))


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, arrays: ArrayCache) -> None:
    path = Path(str(tiff("a.tif")(tmp_path)))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"a\.tif"):
        read_frames(str(path), arrays=arrays)
