"""`usplit predict` and `usplit evaluate`: images in, files and scores out, one message for what is wrong."""

import csv
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from study.__main__ import main
from tests.usplit_core.inference.fakes import structures, tiny_run, write_model
from usplit_core.config import TilingConfig
from usplit_core.data.frames import read_frames
from usplit_core.data.tiled_zarr import TiledZarr
from usplit_core.data.written_image import Layout, WrittenImage
from usplit_core.inference.prediction import Splitter

TRAIN = structures()
IMAGE = np.asarray(TRAIN[0].mean(axis=0)).astype(np.uint16)


class Outcome:
    """What a command left: exit code, output and errors, with line breaks undone."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, " ".join(out.split()), " ".join(err.split())


class Usplit:
    """Runs commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["usplit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = self._capsys.readouterr()
        return Outcome(int(ended.value.code or 0), shown.out, shown.err)


@pytest.fixture
def usplit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Usplit:
    monkeypatch.setenv("COLUMNS", "200")
    return Usplit(monkeypatch, capsys)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "best.safetensors", tiny_run(), TRAIN)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **options)
    return path


def test_predict_writes_what_split_returns(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    image = save(tmp_path / "cells.1.tif", IMAGE)

    done = usplit("predict", model, image, "--padding", 4, "--samples", 3, "--out", tmp_path / "new" / "split")

    target = tmp_path / "new" / "split" / "cells.1_split.ome.tif"
    assert (done.code, done.out) == (0, str(target))
    written = read_frames(str(target))
    expected = Splitter.load(model).split_with_std(IMAGE, tiling=TilingConfig(padding_px=4, samples=3))
    assert expected.std is not None
    np.testing.assert_array_equal(written.pixels[0], np.concatenate([expected.mean, expected.std]))
    assert written.channel_names == ("dim", "bright", "dim std", "bright std")


def test_one_image_can_be_split_into_a_file_of_any_name(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    image, out = save(tmp_path / "cells.tif", IMAGE), tmp_path / "new" / "split.tif"
    done, again = (usplit("predict", model, image, "--padding", 4, "--out", out) for _ in range(2))
    assert (done.code, done.out, again.out) == (0, str(out), f"{out} (was there already)")
    expected = Splitter.load(model).split(IMAGE, tiling=TilingConfig(padding_px=4))
    np.testing.assert_array_equal(read_frames(str(out)).pixels[0], expected)


def test_a_file_for_the_result_is_never_one_of_others(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    image, other = save(tmp_path / "cells.tif", IMAGE), save(tmp_path / "other.tif", IMAGE)
    before = other.read_bytes()
    flags = ["predict", model, "--padding", 4, "--out"]
    itself, foreign = usplit(*flags, image, image), usplit(*flags, other, image)
    two, name = usplit(*flags, tmp_path / "s.tif", image, other), usplit(*flags, "s.tif", image, "--format", "ome-zarr")
    assert [refused.code for refused in (itself, foreign, two, name)] == [2] * 4
    assert "the image itself" in itself.err
    assert "something else has that name" in foreign.err
    assert "for 2 images: name a directory" in two.err
    assert "no name for --format ome-zarr" in name.err
    assert before == other.read_bytes() == image.read_bytes()


def test_the_padding_follows_the_patches_of_the_model_where_none_is_asked_for(
    usplit: Usplit, model: Path, tmp_path: Path
) -> None:
    image, patch_px = save(tmp_path / "cells.tif", IMAGE), tiny_run().model.patch_px
    assert patch_px // 4 < 16
    assert usplit("predict", model, image, "--out", tmp_path / "one").code == 0
    assert usplit("predict", model, image, "--padding", patch_px // 4, "--out", tmp_path / "two").code == 0
    one, two = (read_frames(str(tmp_path / name / "cells_split.ome.tif")).pixels for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)


def test_every_way_of_tiling_can_be_asked_for(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    image = save(tmp_path / "cells.tif", IMAGE)
    flags = ["--tiling", "sliding", "--padding", "4", "--set", "tiling.stride_px=2", "--set", "tiling.border=constant"]

    assert usplit("predict", model, image, *flags, "--out", tmp_path).code == 0

    tiling = TilingConfig(mode="sliding", padding_px=4, stride_px=2, border="constant")
    expected = Splitter.load(model).split(IMAGE, tiling=tiling)
    np.testing.assert_array_equal(read_frames(str(tmp_path / "cells_split.ome.tif")).pixels[0, :2], expected)


def test_a_folder_stands_for_its_files_and_a_second_call_predicts_nothing(
    usplit: Usplit, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("b.tif", "a.tif"):
        save(folder / name, np.stack([IMAGE, IMAGE]), imagej=True, metadata={"axes": "TYX"})

    first = usplit("predict", model, folder, "--padding", 4, "--out", tmp_path)
    second = usplit("predict", model, folder, "--padding", 4, "--out", tmp_path)

    assert first.out == f"{tmp_path / 'a_split.ome.tif'} {tmp_path / 'b_split.ome.tif'}"
    assert second.out.count("(was there already)") == 2
    assert read_frames(str(tmp_path / "a_split.ome.tif")).pixels.shape == (2, 2, *IMAGE.shape)


def test_the_format_is_that_of_the_image_or_the_one_asked_for(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    image = save(tmp_path / "cells.tif", IMAGE)
    flags = ["--padding", "4", "--out", tmp_path]

    asked = usplit("predict", model, image, *flags, "--format", "ome-zarr")
    (tmp_path / "cells_split.ome.zarr").rename(tmp_path / "two.zarr")
    refused = usplit("predict", model, tmp_path / "two.zarr", *flags)
    wrong = usplit("predict", model, image, *flags, "--format", "zarr")

    assert (asked.code, asked.out) == (0, str(tmp_path / "cells_split.ome.zarr"))
    expected = Splitter.load(model).split(IMAGE, tiling=TilingConfig(padding_px=4))
    np.testing.assert_array_equal(read_frames(str(tmp_path / "two.zarr")).pixels[0], expected)
    assert (refused.code, wrong.code) == (2, 2)
    assert "two.zarr has 2 channels" in refused.err
    assert "did you mean 'ome-zarr'" in wrong.err

    layout = Layout("", (), ("cells",), IMAGE.shape[0], IMAGE.shape[1], None)
    single = WrittenImage(tmp_path / "cells.ome.zarr", layout, "abc", TiledZarr)
    single.write(0, IMAGE[None].astype(np.float32))
    single.finish()
    assert usplit("predict", model, tmp_path / "cells.ome.zarr", *flags).out == str(tmp_path / "cells_split.ome.zarr")


def test_results_in_a_folder_of_images_are_not_taken_for_images(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    save(tmp_path / "cells.tif", IMAGE)

    first = usplit("predict", model, tmp_path, "--padding", 4, "--out", tmp_path)
    second = usplit("predict", model, tmp_path, "--padding", 4, "--out", tmp_path)

    target = tmp_path / "cells_split.ome.tif"
    assert (first.out, second.out) == (str(target), f"{target} (was there already)")


@pytest.mark.parametrize("written_as", ["ome-tiff", "ome-zarr"])
def test_a_full_disk_is_one_message_and_leaves_nothing_under_the_final_name(
    usplit: Usplit, model: Path, tmp_path: Path, written_as: str
) -> None:
    image = save(tmp_path / "cells.tif", np.random.default_rng(0).integers(0, 500, (270, 270), np.uint16))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # a file may not grow: as good as a full disk
    try:
        done = usplit("predict", model, image, "--padding", 4, "--format", written_as, "--out", tmp_path / "split")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "choose a folder that exists and has room" in done.err
    assert not [entry for entry in (tmp_path / "split").iterdir() if not entry.name.startswith(".")]


def test_an_image_smaller_than_a_patch_is_padded_and_said_so(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    done = usplit("predict", model, save(tmp_path / "small.tif", IMAGE[:9, :12]), "--padding", 4, "--out", tmp_path)

    assert done.code == 0
    assert "9 x 12 px (y, x) is smaller than a patch of 16 px, so it is padded" in done.out
    assert read_frames(str(tmp_path / "small_split.ome.tif")).pixels.shape == (1, 2, 9, 12)


@pytest.mark.parametrize(
    ("pixels", "options", "flags", "message"),
    [
        (TRAIN[0], {"imagej": True, "metadata": {"axes": "CYX"}}, [], "has 2 channels"),
        (np.full((40, 40), 7, np.uint16), {}, [], "every pixel of frame 0"),
        (
            np.where(np.eye(40) > 0, np.nan, 1).astype(np.float32),
            {},
            [],
            "the first in frame 0, row 0, column 0",
        ),
        (IMAGE, {}, ["--padding", "8"], "leaves nothing of a 16 px patch"),
        (IMAGE, {}, ["--padding", "-1"], "tiling.padding_px"),
        (IMAGE, {}, ["--tiling", "iner"], "tiling.mode"),
        (IMAGE, {}, ["--samples", "0"], "tiling.samples"),
        (IMAGE, {}, ["--axes", "NCYX"], "4 letters"),
        (IMAGE, {}, ["--set", "tiling.stride_px=4"], "inner tiles do not overlap"),
        (IMAGE, {}, ["--set", "tiling.bordr=shift"], "did you mean 'tiling.border'"),
        (IMAGE, {}, ["--set", "train.epochs=4"], "can only be told how to tile"),
        (IMAGE, {}, ["--set", "tiling.border"], "write NAME=VALUE"),
    ],
)
def test_what_cannot_be_split_is_one_message_and_leaves_no_file(
    usplit: Usplit,
    model: Path,
    tmp_path: Path,
    pixels: NDArray[Any],
    options: dict[str, Any],
    flags: list[str],
    message: str,
) -> None:
    image = save(tmp_path / "cells.tif", pixels, **options)

    done = usplit("predict", model, image, "--padding", "4", *flags, "--out", tmp_path / "split")

    assert done.code == 2
    assert done.err.startswith("error: ")
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "split").exists() or not list((tmp_path / "split").iterdir())


def test_a_place_that_cannot_be_written_is_one_message(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    image = save(tmp_path / "cells.tif", IMAGE)

    inside_a_file = usplit("predict", model, image, "--padding", 4, "--out", image / "split")
    (tmp_path / "cells_split.ome.tif").mkdir()
    taken = usplit("predict", model, image, "--padding", 4, "--out", tmp_path)

    assert (inside_a_file.code, taken.code) == (2, 2)
    assert "name a directory" in inside_a_file.err
    assert "cells_split.ome.tif cannot be written" in taken.err


def test_two_images_of_one_name_are_refused(usplit: Usplit, model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "cells.tif", IMAGE)

    done = usplit("predict", model, tmp_path / "a", tmp_path / "b", "--padding", 4, "--out", tmp_path)

    assert done.code == 2
    assert "two of the images would be written to" in done.err


def test_evaluate_shows_the_scores_of_every_channel_and_writes_those_of_frames(
    usplit: Usplit, model: Path, tmp_path: Path
) -> None:
    images = save(tmp_path / "channels.tif", TRAIN, imagej=True, metadata={"axes": "TCYX"})

    done = usplit("evaluate", model, images, "--padding", 4, "--samples", 2, "--out", tmp_path / "scores.csv")

    assert done.code == 0
    for part in ("scale-invariant PSNR (dB)", "SSIM", "calibration error", "dim", "bright"):
        assert part in done.out
    with (tmp_path / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["channel"]) for row in rows] == [(str(n), str(c)) for n in range(3) for c in range(2)]
    assert float(rows[0]["psnr_db"]) > 0


@pytest.mark.parametrize(
    ("pixels", "axes", "flags", "message"),
    [
        (TRAIN[0], "CYX", ["--padding", "8"], "leaves nothing"),
        (TRAIN[:, 0], "TYX", [], "has one channel"),
        (TRAIN[:, [0, 1, 0]], "TCYX", ["--set", "data.channels=0,1,2"], "has 3 channels"),
        (TRAIN, "TCYX", ["--out", "/dev/null/scores.csv"], "--out /dev/null/scores.csv"),
    ],
)
def test_what_cannot_be_evaluated_is_one_message(
    usplit: Usplit, model: Path, tmp_path: Path, pixels: NDArray[Any], axes: str, flags: list[str], message: str
) -> None:
    images = save(tmp_path / "channels.tif", pixels, imagej=True, metadata={"axes": axes})

    done = usplit("evaluate", model, images, "--padding", "4", *flags)

    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
