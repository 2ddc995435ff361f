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
from usplit_core.errors import DataError, UserError

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


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_whatever_a_damage_makes_the_readers_raise_is_one_message(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".tif":
        save(whole, FRAMES, photometric="minisblack")
    else:
        np.save(whole, FRAMES)
    content = whole.read_bytes()
    damaged = whole.with_stem("damaged")
    refused = 0
    for place in range(0, 200, 3):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            read_frames(str(damaged))
        except UserError:
            refused += 1
    assert refused > 10


def test_ome_metadata_that_are_no_xml_are_one_message(tmp_path: Path) -> None:
    description = "<?xml version='1.0'?><OME><Image Name='a & b'></Image></OME>"
    path = save(tmp_path / "cells.ome.tif", FRAMES[0], description=description, metadata=None)
    with pytest.raises(DataError, match=r"cannot be read|damaged"):
        read_frames(path, axes="CYX")


@pytest.mark.parametrize("size", ["0.0", "-0.1", "nan", "INF"])
def test_a_pixel_size_that_is_none_is_not_known(tmp_path: Path, size: str) -> None:
    metadata = {"axes": "CYX", "PhysicalSizeX": size, "PhysicalSizeY": size}
    path = save(tmp_path / "cells.ome.tif", FRAMES[0], photometric="minisblack", metadata=metadata)
    assert read_frames(path).pixel_size_um is None


def test_hidden_files_of_a_folder_hold_no_images(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", FRAMES[0], photometric="minisblack", metadata={"axes": "CYX"})
    (tmp_path / "._a.tif").write_bytes(b"what macOS leaves on disks of other systems")
    np.testing.assert_array_equal(read_frames(str(tmp_path)).pixels, FRAMES[:1])


def test_pixels_of_more_than_eight_bytes_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "cells.npy", FRAMES.astype(np.longdouble))
    with pytest.raises(DataError, match="save them as float32"):
        read_frames(str(tmp_path / "cells.npy"), axes="NCYX")


@pytest.mark.parametrize(
    "name",
    ["~no-such-user/a.tif", "a" * 300 + ".tif", "package:a.b.c/x.tif", "package:../x.tif", "package:/x.tif"],
)
def test_a_path_that_cannot_be_is_one_message(name: str) -> None:
    with pytest.raises(DataError):
        read_frames(name)


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
