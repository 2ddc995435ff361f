"""What a trial has computed is complete or not there, and only one attempt writes it."""

import os
from pathlib import Path

import numpy as np
import pytest

from study.engine.trial_folder import (
    AttemptSuperseded,
    begin_attempt,
    check_attempt,
    clear,
    evaluation_folder,
    read_evaluation,
    read_result,
    write_evaluation,
    write_result,
)


def test_the_newest_attempt_is_the_only_one_that_may_write(tmp_path: Path) -> None:
    old = begin_attempt(tmp_path, 1)
    check_attempt(tmp_path, old)
    new = begin_attempt(tmp_path, 1)
    check_attempt(tmp_path, new)
    with pytest.raises(AttemptSuperseded):
        check_attempt(tmp_path, old)


def test_a_new_attempt_removes_what_killed_workers_left_half_written(tmp_path: Path) -> None:
    write_evaluation(tmp_path, "inner-16px-1", {"metrics": {}}, {"input": np.ones((2, 3))})
    write_result(tmp_path, {"stopped": "finished"})
    evaluation = evaluation_folder(tmp_path, "inner-16px-1")
    left = [
        *(tmp_path / ".result.json.0123.unfinished", evaluation / ".sample.npz.0123.unfinished"),
        evaluation / ".sample.4711.npz",  # as older versions named it
    ]
    for path in left:
        path.write_bytes(b"half")
    begin_attempt(tmp_path, 1)
    assert not any(path.exists() for path in left)
    assert read_result(tmp_path) is not None
    assert sorted(path.name for path in evaluation.iterdir()) == ["sample.npz", "scores.json"]


def test_an_evaluation_comes_back_as_written(tmp_path: Path) -> None:
    assert read_evaluation(tmp_path, "inner-16px-1") is None
    write_evaluation(tmp_path, "inner-16px-1", {"metrics": {"test/ssim": 0.5}}, {"input": np.ones((2, 3))})
    assert read_evaluation(tmp_path, "inner-16px-1") == {"metrics": {"test/ssim": 0.5}}
    with np.load(evaluation_folder(tmp_path, "inner-16px-1") / "sample.npz") as sample:
        assert sample["input"].shape == (2, 3)
    assert not list(tmp_path.rglob(".*"))


def test_a_cleared_folder_holds_no_results(tmp_path: Path) -> None:
    write_result(tmp_path, {"stopped": "finished"})
    write_evaluation(tmp_path, "inner-16px-1", {}, {})
    clear(tmp_path)
    assert read_result(tmp_path) is None
    assert read_evaluation(tmp_path, "inner-16px-1") is None


@pytest.mark.parametrize("left", ["", '{"stopped": "fin', "\0" * 20], ids=["empty", "torn", "zeros"])
def test_what_a_loss_of_power_left_of_a_file_counts_as_not_written(left: str, tmp_path: Path) -> None:
    write_evaluation(tmp_path, "inner-16px-1", {"metrics": {}}, {})
    for path in (tmp_path / "result.json", evaluation_folder(tmp_path, "inner-16px-1") / "scores.json"):
        path.write_text(left)
    assert read_result(tmp_path) is None
    assert read_evaluation(tmp_path, "inner-16px-1") is None


def test_bytes_reach_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visible: list[list[str]] = []

    def note(file: int) -> None:
        visible.append(sorted(path.name for path in tmp_path.rglob("*.[jn]*") if not path.name.startswith(".")))

    monkeypatch.setattr(os, "fsync", note)
    write_evaluation(tmp_path, "inner-16px-1", {"metrics": {}}, {"input": np.ones((2, 3))})
    write_result(tmp_path, {"stopped": "finished"})
    assert visible == [[], ["sample.npz"], ["sample.npz", "scores.json"]]
