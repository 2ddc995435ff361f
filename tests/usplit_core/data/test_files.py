"""Every format is read, wherever it lies, and damaged files are refused."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from usplit_core.data.frames import read_frames
from usplit_core.errors import DataError

FRAMES = np.random.default_rng(0).integers(0, 4000, (5, 2, 20, 30), np.uint16)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> str:
    tifffile.imwrite(path, pixels, **options)
    return str(path)


def test_arrays_of_an_npz_file_are_channels(tmp_path: Path) -> None:
    path = tmp_path / "cells.npz"
    np.savez(path, actin=FRAMES[:, 0], mito=FRAMES[:, 1])
    frames = read_frames(str(path))
    np.testing.assert_array_equal(frames.pixels, FRAMES)
    assert frames.channel_names == ("actin", "mito")
    np.savez(path, FRAMES)
    np.testing.assert_array_equal(read_frames(str(path)).pixels, FRAMES)
    np.savez(path, a=FRAMES, b=FRAMES[0])
    with pytest.raises(DataError, match="different shape"):
        read_frames(str(path))


def test_pages_of_different_size_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "odd.tif") as writer:
        writer.write(FRAMES[0, 0])
        writer.write(FRAMES[0, 0, :10])
    with pytest.raises(DataError, match=r"different shape \(20 x 30, 10 x 30\)"):
        read_frames(str(tmp_path / "odd.tif"))


def test_series_of_one_shape_are_frames(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "wells.ome.tif", ome=True) as writer:
        for frame in FRAMES:
            writer.write(frame, metadata={"axes": "CYX"}, photometric="minisblack")
    np.testing.assert_array_equal(read_frames(str(tmp_path / "wells.ome.tif")).pixels, FRAMES)


def test_missing_files_name_the_nearest(tmp_path: Path) -> None:
    save(tmp_path / "actin.tif", FRAMES)
    with pytest.raises(DataError, match=r"nearest name there is 'actin\.tif'"):
        read_frames(str(tmp_path / "aktin.tiff"))
    with pytest.raises(DataError, match="nor does its folder"):
        read_frames(str(tmp_path / "nowhere" / "actin.tif"))


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".npz"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"cannot be read as"):
        read_frames(str(path))


def test_truncated_tiff_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    for options in ({"compression": "zlib"}, {"metadata": None}, {"imagej": True, "metadata": {"axes": "TCYX"}}):
        save(path, FRAMES, photometric="minisblack", **options)
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(DataError, match=r"cannot be read|incomplete"):
            read_frames(str(path))


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cells.czi").write_bytes(b"")
    with pytest.raises(DataError, match=r"use one of \.tif, \.tiff, \.npy"):
        read_frames(str(tmp_path / "cells.czi"))


def test_files_of_installed_packages_are_found_without_importing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cell_samples-1.0.dist-info"
    for folder in (info, tmp_path / "cell_samples" / "images"):
        folder.mkdir(parents=True)
    (tmp_path / "cell_samples" / "__init__.py").write_text("raise ImportError")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cell-samples\nVersion: 1.0\n")
    save(tmp_path / "cell_samples" / "images" / "cells.tif", FRAMES, metadata={"axes": "NCYX"})
    monkeypatch.syspath_prepend(tmp_path)
    for listed in (False, True):
        if listed:
            (info / "RECORD").write_text("cell_samples/__init__.py,,\ncell_samples/images/cells.tif,,\n")
        np.testing.assert_array_equal(read_frames("package:cell-samples/images/cells.tif").pixels, FRAMES)
    with pytest.raises(DataError, match=r"did you mean 'cells\.tif'"):
        read_frames("package:cell-samples/cell.tif")
    with pytest.raises(DataError, match="pip install no-such-distribution"):
        read_frames("package:no-such-distribution/cells.tif")
    with pytest.raises(DataError, match="has no file"):
        read_frames("package:scikit-image/cells.tif")
    with pytest.raises(DataError, match="package:DISTRIBUTION/FILE"):
        read_frames("package:scikit-image")


def test_ome_zarr_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cells.zarr"
    folder.mkdir()
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(DataError, match="pip install zarr"):
        read_frames(str(folder))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_carries_axes_names_and_pixel_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    axes: list[dict[str, str]] = [{"name": "t"}, {"name": "c"}]
    axes += [{"name": name, "unit": "micrometer"} for name in "yx"]
    steps = [{"type": "scale", "scale": [1, 1, 0.2, 0.1]}]
    ome: dict[str, Any] = {
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}],
        "omero": {"channels": [{"label": "actin"}, {"label": "mito"}]},
    }

    class Group(dict[str, Any]):
        attrs = ome if version == "0.4" else {"ome": ome}

    zarr = ModuleType("zarr")
    zarr.__spec__ = ModuleSpec("zarr", None)
    monkeypatch.setattr(zarr, "open_group", lambda path, mode: Group({"0": FRAMES}), raising=False)
    monkeypatch.setitem(sys.modules, "zarr", zarr)
    (tmp_path / "cells.zarr").mkdir()
    frames = read_frames(str(tmp_path / "cells.zarr"))
    np.testing.assert_array_equal(frames.pixels, FRAMES)
    assert frames.channel_names == ("actin", "mito")
    assert frames.pixel_size_um == (0.2, 0.1)
