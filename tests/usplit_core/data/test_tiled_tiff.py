"""Large files, written piece by piece."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from usplit_core.data.frames import read_frames
from usplit_core.data.tiled_tiff import Layout, TiledTiff, is_finished
from usplit_core.errors import OutputError

LAYOUT = Layout("TZ", (2, 3), ("actin", "nuclei"), 600, 300, (0.2, 0.1))
PIXELS = np.random.default_rng(0).normal(size=(6, 2, 600, 300)).astype(np.float32)


def write(file: TiledTiff, pixels: NDArray[Any], rows: int, *, until: int = 10**6) -> None:
    """Write what the file lacks, some rows at a time, and stop after `until` pieces."""
    pieces = 0
    for frame in range(len(pixels)):
        for top in range(file.rows_done(frame), 600, rows):
            if pieces == until:
                return
            file.write(frame, pixels[frame, :, top : top + rows])
            pieces += 1


@pytest.mark.parametrize("rows", [7, 256, 600])
def test_a_file_holds_what_was_written_with_names_axes_and_pixel_size(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.ome.tif"
    file = TiledTiff(path, LAYOUT, "abc")
    write(file, PIXELS, rows)
    assert not path.exists()
    file.finish()

    read = read_frames(str(path))
    np.testing.assert_array_equal(read.pixels, PIXELS)
    assert read.channel_names == ("actin", "nuclei")
    assert read.pixel_size_um == pytest.approx((0.2, 0.1))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        assert tiff.series[0].axes == "TZCYX"
        assert tiff.pages.first.is_tiled
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ome.tif"]


def test_a_single_frame_has_no_axis_of_frames(tmp_path: Path) -> None:
    file = TiledTiff(tmp_path / "a.ome.tif", LAYOUT._replace(frame_axes="", frame_lengths=()), "abc")
    file.write(0, PIXELS[0])
    file.finish()

    assert tifffile.imread(tmp_path / "a.ome.tif").shape == (2, 600, 300)


def test_writing_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    first = TiledTiff(path, LAYOUT, "abc")
    write(first, PIXELS, 100, until=10)  # all of frame 0, and 400 rows of frame 1
    first.close()

    second = TiledTiff(path, LAYOUT, "abc")
    assert [second.rows_done(frame) for frame in range(3)] == [600, 256, 0]
    write(second, PIXELS, 50)
    second.finish()

    np.testing.assert_array_equal(read_frames(str(path)).pixels, PIXELS)


def test_another_call_begins_anew(tmp_path: Path) -> None:
    first = TiledTiff(tmp_path / "a.ome.tif", LAYOUT, "abc")
    write(first, PIXELS, 600, until=1)
    first.close()

    second = TiledTiff(tmp_path / "a.ome.tif", LAYOUT, "other")

    assert second.rows_done(0) == 0
    second.discard()
    assert not list(tmp_path.iterdir())


def test_a_finished_file_is_known_by_its_identity(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    assert not is_finished(path, "abc")
    file = TiledTiff(path, LAYOUT, "abc")
    write(file, PIXELS, 600)
    file.finish()

    assert is_finished(path, "abc")
    assert not is_finished(path, "abd")
    path.write_text("no image")
    assert not is_finished(path, "abc")


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))

    with pytest.raises(OutputError, match=r"needs 0\.0 GB, but 0\.0 GB are free"):
        TiledTiff(tmp_path / "a.ome.tif", LAYOUT, "abc")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_is_one_message_and_what_is_done_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = TiledTiff(tmp_path / "a.ome.tif", LAYOUT, "abc")
    write(file, PIXELS, 600, until=1)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "_write_tiles", fail)
    with pytest.raises(OutputError, match=r"a\.ome\.tif cannot be written .*No space left"):
        file.write(1, PIXELS[1])
    file.close()
    assert not (tmp_path / "a.ome.tif").exists()
    again = TiledTiff(tmp_path / "a.ome.tif", LAYOUT, "abc")
    assert again.rows_done(0) == 600
    again.close()


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose a folder that exists"):
        TiledTiff(tmp_path / "nowhere" / "a.ome.tif", LAYOUT, "abc")
