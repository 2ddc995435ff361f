"""A header says of files what reading them says, but for the pixels."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from usplit_core.data.frames import read_frames
from usplit_core.data.header import read_header
from usplit_core.errors import DataError


def agree(path: str | tuple[str, ...], axes: str | None = None) -> bool:
    """Tell whether the header of images and the images themselves say the same."""
    header, frames = read_header(path, axes=axes), read_frames(path, axes=axes)
    return (header.shape, header.channel_names) == (frames.pixels.shape, frames.channel_names)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5, 2, 12, 14), "TCYX"), ((2, 12, 14), "CYX"), ((2, 3, 2, 12, 14), "TZCYX"), ((12, 14, 3), "YXS")],
)
def test_a_tiff_file(shape: tuple[int, ...], axes: str, tmp_path: Path) -> None:
    path = tmp_path / "images.ome.tif"
    tifffile.imwrite(path, np.ones(shape, np.uint8), metadata={"axes": axes})
    assert agree(str(path))


def test_names_of_channels(tmp_path: Path) -> None:
    path = tmp_path / "images.tif"
    metadata = {"axes": "CYX", "Labels": ["actin", "tubulin"]}
    tifffile.imwrite(path, np.ones((2, 12, 14), np.uint8), imagej=True, metadata=metadata)
    assert agree(str(path))
    assert read_header(str(path)).channel_names == ("actin", "tubulin")


def test_a_numpy_file_with_axes_that_the_user_names(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.ones((12, 14, 5, 2), np.float32))
    assert agree(str(tmp_path / "images.npy"), "YXNC")


def test_an_archive_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", actin=np.ones((5, 12, 14)), tubulin=np.ones((5, 12, 14)))
    assert agree(str(tmp_path / "images.npz"))


def test_a_folder_adds_the_frames_of_its_files(tmp_path: Path) -> None:
    for index in range(3):
        tifffile.imwrite(tmp_path / f"{index}.tif", np.ones((2, 12, 14), np.uint8), metadata={"axes": "CYX"})
    assert read_header(str(tmp_path)).shape == (3, 2, 12, 14)
    assert agree(str(tmp_path))


def test_a_file_for_each_channel(tmp_path: Path) -> None:
    files = []
    for name in ("actin", "tubulin"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.ones((5, 12, 14), np.uint8), metadata={"axes": "TYX"})
        files.append(str(tmp_path / f"{name}.tif"))
    assert agree(tuple(files))


def test_generated_images() -> None:
    assert agree("synthetic:glyphs?frames=2")


def test_files_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    for name, size in (("actin", 12), ("tubulin", 16)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.ones((size, size), np.uint8))
    with pytest.raises(DataError, match="all of one size"):
        read_header((str(tmp_path / "actin.tif"), str(tmp_path / "tubulin.tif")))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.tif"
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read"):
        read_header(str(path))


def test_pixels_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "images.tif"
    tifffile.imwrite(path, np.ones((5, 2, 12, 14), np.uint8), metadata={"axes": "TCYX"}, imagej=True)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pixels were read")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", refuse)
    assert read_header(str(path)).shape == (5, 2, 12, 14)
