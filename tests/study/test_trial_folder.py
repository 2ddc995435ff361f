"""What a trial has computed is complete or not there, and only one attempt writes it."""

from pathlib import Path

import numpy as np
import pytest

from study.trial_folder import (
    AttemptSuperseded,
    append_history,
    begin_attempt,
    check_attempt,
    clear,
    read_evaluation,
    read_history,
    write_evaluation,
)


def test_the_newest_attempt_is_the_only_one_that_may_write(tmp_path: Path) -> None:
    old = begin_attempt(tmp_path, 1)
    check_attempt(tmp_path, old)
    new = begin_attempt(tmp_path, 1)
    check_attempt(tmp_path, new)
    with pytest.raises(AttemptSuperseded):
        check_attempt(tmp_path, old)


def test_a_repeated_epoch_counts_once_and_a_torn_line_not_at_all(tmp_path: Path) -> None:
    for epoch, loss in ((1, 3.0), (2, 2.0), (2, 1.5)):
        append_history(tmp_path, {"epoch": epoch, "metrics": {"train/loss": loss}})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 3, "metr')
    assert [(line["epoch"], line["metrics"]["train/loss"]) for line in read_history(tmp_path)] == [(1, 3.0), (2, 1.5)]


def test_the_first_line_after_a_torn_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"epoch": 1, "metr')
    append_history(tmp_path, {"epoch": 1, "metrics": {}})
    assert [line["epoch"] for line in read_history(tmp_path)] == [1]


def test_an_evaluation_comes_back_as_written(tmp_path: Path) -> None:
    assert read_evaluation(tmp_path, "inner-16px-1") is None
    write_evaluation(tmp_path, "inner-16px-1", {"metrics": {"test/ssim": 0.5}}, {"input": np.ones((2, 3))})
    assert read_evaluation(tmp_path, "inner-16px-1") == {"metrics": {"test/ssim": 0.5}}
    with np.load(tmp_path / "evaluations" / "inner-16px-1.npz") as sample:
        assert sample["input"].shape == (2, 3)
    assert not list((tmp_path / "evaluations").glob(".*"))


def test_a_cleared_folder_holds_no_results(tmp_path: Path) -> None:
    append_history(tmp_path, {"epoch": 1})
    write_evaluation(tmp_path, "inner-16px-1", {}, {})
    clear(tmp_path)
    assert read_history(tmp_path) == []
    assert read_evaluation(tmp_path, "inner-16px-1") is None
