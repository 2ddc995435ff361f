"""`usplit new` writes a search space that runs as it stands, fitted to the images, and replaces nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from study.commands.new import new_command
from study.new_space import render_space
from study.planning.design import plan_trials
from study.spaces import load_space
from study.spec import Study
from tests.search_spaces.docstrings import SECTIONS, read_docstring
from usplit_core.data.frames import read_frames
from usplit_core.data.header import Header
from usplit_core.data.splits import check_size, split
from usplit_core.errors import UserError


def write_images(path: Path, shape: tuple[int, ...], axes: str) -> Path:
    tifffile.imwrite(path, np.zeros(shape, np.uint16), metadata={"axes": axes}, imagej=True)
    return path


def new_study(folder: Path, *images: Path, axes: str | None = None) -> Study:
    new_command("cells", folder, [str(path) for path in images], axes=axes)
    return load_space(str(folder / "cells.py"))


def check_images(study: Study) -> None:
    """Read the images of a study and see that every part holds a patch."""
    for trial in plan_trials(study, lambda data: "content"):
        data = trial.run.data
        pixels = read_frames(data.path, axes=data.axes, channels=data.channels).pixels
        check_size(split(pixels, data), trial.run.model.patch_px)


def test_without_images_it_runs_on_generated_ones(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    assert study.base["data.path"] == "synthetic:critters-n0?frames=40"
    check_images(study)


def test_its_docstring_has_the_sections_and_the_numbers_of_a_shipped_one(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    told = read_docstring(tmp_path / "cells.py")
    trials = plan_trials(study, lambda data: "content")
    assert tuple(told.sections) == SECTIONS
    assert told.trainings == len(trials)
    assert told.evaluations == sum(len(trial.tilings) for trial in trials)


def test_a_stack_of_frames_is_split_by_frame(tmp_path: Path) -> None:
    study = new_study(tmp_path, write_images(tmp_path / "cells.tif", (6, 3, 80, 96), "TCYX"))
    assert study.base["data.split"] == "frame"
    assert study.base["model.patch_px"] == 64
    check_images(study)


def test_few_frames_are_split_by_region_with_a_patch_that_fits(tmp_path: Path) -> None:
    study = new_study(tmp_path, write_images(tmp_path / "cells.tif", (2, 2, 200, 160), "TCYX"))
    assert study.base["data.split"] == "region"
    assert study.base["model.patch_px"] == 32
    check_images(study)


def test_one_file_for_each_structure(tmp_path: Path) -> None:
    files = [write_images(tmp_path / f"{name}.tif", (7, 64, 64), "TYX") for name in ("actin", "tubulin")]
    study = new_study(tmp_path, *files)
    assert study.base["data.path"] == tuple(map(str, files))
    assert "0 = actin, 1 = tubulin" in (tmp_path / "cells.py").read_text("utf-8")
    check_images(study)


def test_axes_that_the_user_names_are_written_down(tmp_path: Path) -> None:
    images = tmp_path / "cells.npy"
    np.save(images, np.zeros((64, 64, 12, 2), np.uint8))
    study = new_study(tmp_path, images, axes="YXNC")
    assert study.base["data.axes"] == "YXNC"
    check_images(study)


def test_odd_names_do_no_harm(tmp_path: Path) -> None:
    odd = tmp_path / 'a "b" {c} \\d """'
    odd.mkdir()
    images = write_images(odd / "µ.tif", (6, 2, 64, 64), "TCYX")
    assert new_study(tmp_path, images).base["data.path"] == str(images)
    text = render_space("cells", "cells.tif", Header((6, 2, 64, 64), ('"""\nimport os', "b"), np.dtype(np.uint16)))
    compile(text, "cells.py", "exec")


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "cells.py"
    file.write_text("mine", "utf-8")
    with pytest.raises(UserError, match="is not replaced"):
        new_command("cells", tmp_path, [], axes=None)
    assert file.read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("name", "shape", "axes", "message"),
    [
        ("Cells", (6, 2, 64, 64), "TCYX", "lower-case"),
        ("../cells", (6, 2, 64, 64), "TCYX", "lower-case"),
        ("cells", (6, 64, 64), "TYX", "one channel"),
        ("cells", (6, 2, 12, 12), "TCYX", "smaller than model.patch_px"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_and_nothing_written(
    name: str, shape: tuple[int, ...], axes: str, message: str, tmp_path: Path
) -> None:
    images = write_images(tmp_path / "images.tif", shape, axes)
    with pytest.raises(UserError, match=message):
        new_command(name, tmp_path, [str(images)], axes=None)
    assert list(tmp_path.iterdir()) == [images]


def test_a_folder_or_image_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        new_command("cells", tmp_path / "none", [], axes=None)
    with pytest.raises(UserError, match="does not exist"):
        new_command("cells", tmp_path, [str(tmp_path / "none.tif")], axes=None)
    with pytest.raises(UserError, match="is not in UTF-8"):
        new_command("cells", tmp_path, [os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tif")], axes=None)
