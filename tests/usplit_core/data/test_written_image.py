"""Large images, written piece by piece, as OME-TIFF and as OME-Zarr."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from usplit_core.data.frames import read_frames
from usplit_core.data.output_formats import FORMATS, format_of
from usplit_core.data.written_image import Layout, WrittenImage
from usplit_core.errors import OutputError

LAYOUT = Layout("TZ", (2, 3), ("actin", "nuclei"), 600, 300, (0.2, 0.1))
PIXELS = np.random.default_rng(0).normal(size=(6, 2, 600, 300)).astype(np.float32)


@pytest.fixture(params=["a.ome.tif", "a.ome.zarr"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def begin(path: Path, identity: str = "abc", layout: Layout = LAYOUT) -> WrittenImage:
    return WrittenImage(path, layout, identity, format_of(path).container)


def write(image: WrittenImage, pixels: NDArray[Any], rows: int, *, until: int = 10**6) -> None:
    """Write what the image lacks, some rows at a time, and stop after `until` pieces."""
    pieces = 0
    for frame in range(len(pixels)):
        for top in range(image.rows_done(frame), 600, rows):
            if pieces == until:
                return
            image.write(frame, pixels[frame, :, top : top + rows])
            pieces += 1


@pytest.mark.parametrize("rows", [7, 600])
def test_an_image_holds_what_was_written_with_names_axes_and_pixel_size(path: Path, rows: int) -> None:
    image = begin(path)
    write(image, PIXELS, rows)
    assert not path.exists()
    image.finish()

    read = read_frames(str(path))
    np.testing.assert_array_equal(read.pixels, PIXELS)
    assert read.channel_names == ("actin", "nuclei")
    assert read.pixel_size_um == pytest.approx((0.2, 0.1))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_tiff_is_tiled_and_may_be_large(tmp_path: Path) -> None:
    image = begin(tmp_path / "a.ome.tif")
    image.finish()

    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert tiff.is_bigtiff
        assert tiff.series[0].axes == "TZCYX"
        assert tiff.pages.first.is_tiled


def test_a_single_frame_has_no_axis_of_frames(path: Path) -> None:
    image = begin(path, layout=LAYOUT._replace(frame_axes="", frame_lengths=()))
    image.write(0, PIXELS[0])
    image.finish()

    np.testing.assert_array_equal(read_frames(str(path)).pixels, PIXELS[:1])


def test_writing_goes_on_where_it_was(path: Path) -> None:
    first = begin(path)
    write(first, PIXELS, 100, until=10)  # all of frame 0, and 400 rows of frame 1
    first.close()

    second = begin(path)
    assert [second.rows_done(frame) for frame in range(3)] == [600, 256, 0]
    write(second, PIXELS, 50)
    second.finish()

    np.testing.assert_array_equal(read_frames(str(path)).pixels, PIXELS)


def test_another_call_begins_anew(path: Path) -> None:
    first = begin(path)
    write(first, PIXELS, 600, until=1)
    first.close()

    second = begin(path, "other")

    assert second.rows_done(0) == 0
    second.discard()
    assert not list(path.parent.iterdir())


def test_another_result_takes_the_place_of_an_older_one_when_it_is_finished(path: Path) -> None:
    for identity, factor in (("abc", 1), ("other", 2)):
        image = begin(path, identity)
        write(image, PIXELS * factor, 600)
        if identity == "other":
            np.testing.assert_array_equal(read_frames(str(path)).pixels, PIXELS)
        image.finish()

    np.testing.assert_array_equal(read_frames(str(path)).pixels, 2 * PIXELS)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_finished_image_is_known_by_its_identity(path: Path) -> None:
    is_finished = format_of(path).is_finished
    assert not is_finished(path, "abc")
    image = begin(path)
    write(image, PIXELS, 600)
    image.finish()

    assert is_finished(path, "abc")
    assert not is_finished(path, "abd")


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_no_image_is_not_finished(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_text("no image")
    assert not FORMATS[name].is_finished(tmp_path / "a", "abc")


def test_what_else_has_the_name_is_not_touched(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("mine")

    with pytest.raises(OutputError, match="move it away"):
        format_of(path).refuse_place(path)


def test_too_little_room_is_said_before_anything_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(path.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))

    with pytest.raises(OutputError, match=r"needs \d+\.\d MB, but 0\.0 MB are free"):
        begin(path)
    assert not list(path.parent.iterdir())


def test_a_disk_that_fills_up_is_one_message_and_what_is_done_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = begin(path)
    write(image, PIXELS, 600, until=1)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image._container, "write_tiles", fail)
    with pytest.raises(OutputError, match=r"a\.ome\.\w+ cannot be written .*No space left"):
        image.write(1, PIXELS[1])
    image.close()
    assert not path.exists()
    again = begin(path)
    assert again.rows_done(0) == 600
    again.close()


def test_a_folder_that_does_not_exist_is_refused(path: Path) -> None:
    with pytest.raises(OutputError, match="choose a folder that exists"):
        begin(path.parent / "nowhere" / path.name)
