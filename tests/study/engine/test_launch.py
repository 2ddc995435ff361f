"""A study can be taken up by its name as it was started."""

import errno
import os
from pathlib import Path

import pytest

from study.engine.launch import keep_launch, read_launch
from study.errors import StoreError
from study.store import Store


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "small.py"
    path.write_text("STUDY = None\n")
    return path


def test_a_launch_comes_back_as_it_was_kept(space: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    keep_launch(store, "small", space, ["train.epochs=2"])
    kept = read_launch(store, "small")
    assert kept.settings == ["train.epochs=2"]
    assert kept.space.read_text() == space.read_text()
    # As `usplit resume` does it, from the copy.
    keep_launch(store, "small", kept.space, kept.settings)
    assert read_launch(store, "small") == kept


def test_a_launch_that_cannot_be_written_leaves_the_one_before(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    keep_launch(store, "small", space, ["train.epochs=2"])

    def fail(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        keep_launch(store, "small", space, ["train.epochs=3"])
    assert read_launch(store, "small").settings == ["train.epochs=2"]


def test_a_damaged_note_is_told_with_a_remedy(space: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    keep_launch(store, "small", space, [])
    (store.study_folder("small") / "launch.json").write_text('{"setti')
    with pytest.raises(StoreError, match="damaged: give `usplit run`"):
        read_launch(store, "small")
