"""Images are known by their content; a file that has not changed is not read to be recognised."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from study.planning import datasets, preflight
from study.planning.datasets import Dataset, data_key, read_datasets
from study.planning.design import PlannedTrial
from study.planning.preflight import check
from tests.usplit_core.data.image_in_two_files import FILES, write_image
from usplit_core.config import RunConfig
from usplit_core.data.content import content_hash
from usplit_core.data.frames import Frames, read_frames
from usplit_core.errors import DataError
from usplit_core.settings import resolve

PIXELS = np.random.default_rng(0).integers(0, 999, (6, 2, 32, 32), np.uint16)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of this test's own."""
    monkeypatch.setenv("USPLIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what grows by a path each time that images are read."""
    found: list[str] = []

    def read(path: str, **options: Any) -> Frames:
        found.append(path)
        return read_frames(path, **options)

    monkeypatch.setattr(datasets, "read_frames", read)
    return found


def save(path: Path, pixels: NDArray[np.uint16] = PIXELS) -> RunConfig:
    tifffile.imwrite(path, pixels, metadata={"axes": "TCYX"}, imagej=True)
    small = {"model.patch_px": 16, "model.depth": 2, "model.lc_depth": 1, "tiling.padding_px": 4}
    return resolve({"data.path": str(path), **small})


def dataset(run: RunConfig) -> Dataset:
    return read_datasets([run])[data_key(run.data)]


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file count as settled at once."""
    monkeypatch.setattr(datasets, "_SETTLED_SECONDS", 0.0)


@pytest.mark.usefixtures("settled")
def test_an_unchanged_file_is_not_read_again(tmp_path: Path, reads: list[str]) -> None:
    run = save(tmp_path / "a.tif")
    first, second = dataset(run), dataset(run)
    assert len(reads) == 1
    assert second.content == first.content == content_hash(PIXELS)
    assert second.outline == first.outline
    assert second.channel_names == first.frames.channel_names
    assert np.array_equal(second.frames.pixels, PIXELS)
    assert len(reads) == 2


@pytest.mark.usefixtures("settled")
def test_a_touched_file_is_hashed_anew(tmp_path: Path, reads: list[str]) -> None:
    run = save(tmp_path / "a.tif")
    before = dataset(run).content
    os.utime(tmp_path / "a.tif", ns=(1, 1))
    assert dataset(run).content == before
    save(tmp_path / "a.tif", PIXELS[::-1])
    assert dataset(run).content != before
    assert len(reads) == 3


def test_a_file_written_a_moment_ago_is_not_trusted(tmp_path: Path, reads: list[str]) -> None:
    run = save(tmp_path / "a.tif")
    dataset(run)
    dataset(run)
    assert len(reads) == 2


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"key": 1, "value": 2}', "NaN"])
def test_a_corrupt_cache_is_ignored(tmp_path: Path, cache: Path, reads: list[str], damage: str) -> None:
    run = save(tmp_path / "a.tif")
    content = dataset(run).content
    for file in cache.rglob("*.json"):
        file.write_text(damage)
    assert dataset(run).content == content
    assert len(reads) == 2
    assert dataset(run).content == content
    assert len(reads) == 2


@pytest.mark.usefixtures("settled")
def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, cache: Path, reads: list[str]) -> None:
    cache.write_text("a file where the folder should be")
    run = save(tmp_path / "a.tif")
    assert dataset(run).content == dataset(run).content
    assert len(reads) == 2


@pytest.mark.usefixtures("settled")
def test_images_that_change_while_the_study_starts_are_refused(tmp_path: Path) -> None:
    run = save(tmp_path / "a.tif")
    dataset(run)
    recognised = dataset(run)
    save(tmp_path / "a.tif", PIXELS + 1)
    with pytest.raises(DataError, match="changed since"):
        _ = recognised.frames


@pytest.mark.usefixtures("settled")
def test_a_folder_is_known_by_all_its_files(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.tif", "b.tif"):
        save(tmp_path / "images" / name)
    run = resolve({"data.path": str(tmp_path / "images")})
    before = dataset(run).content
    assert dataset(run).content == before
    assert len(reads) == 1
    (tmp_path / "images" / "b.tif").unlink()
    assert dataset(run).content != before


@pytest.mark.usefixtures("settled")
def test_an_image_in_several_files_is_known_by_all_of_them(tmp_path: Path, reads: list[str]) -> None:
    run = resolve({"data.path": str(write_image(tmp_path)), "data.axes": "CYX", "data.channels": [0, 3]})
    first = dataset(run).content
    assert dataset(run).content == first
    assert len(reads) == 1
    other = tmp_path / FILES[1]
    other.write_bytes(other.read_bytes()[:-1] + b"!")
    assert dataset(run).content != first
    assert len(reads) == 2


@pytest.mark.usefixtures("settled")
def test_images_that_passed_the_checks_are_not_read_for_them_again(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save(tmp_path / "a.tif")
    trials = [PlannedTrial("f", "c", "label", run, (run.tiling,))]
    check(trials, read_datasets([run]))
    monkeypatch.setattr(preflight, "fit_statistics", lambda *_: pytest.fail("the images were looked at again"))
    check(trials, read_datasets([run]))
    assert len(reads) == 1


@pytest.mark.usefixtures("settled")
def test_images_that_failed_the_checks_fail_again(tmp_path: Path) -> None:
    run = save(tmp_path / "a.tif", PIXELS[:, :, :8, :8])
    for _ in range(2):
        with pytest.raises(DataError, match=r"smaller than model\.patch_px"):
            check([PlannedTrial("f", "c", "label", run, (run.tiling,))], read_datasets([run]))
