"""What a worker does with its storage: it says what writing cost, and outlasts times when it cannot write."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.engine.trial import Assignment, Message, run_trial
from study.engine.trial_folder import read_result
from tests.usplit_core.trainings import tiny_run
from usplit_core.checkpoint import save_training
from usplit_core.config import TilingConfig
from usplit_core.errors import OutputError

EPOCHS = 3
FRAMES = {"images": np.random.default_rng(0).integers(0, 1000, (6, 2, 64, 64)).astype(np.uint16)}


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    run = tiny_run(train__epochs=EPOCHS)
    return Assignment(
        fingerprint="tiny",
        attempt=1,
        label="tiny",
        folder=str(tmp_path / "tiny"),
        run=run.model_dump(mode="json"),
        tilings=[TilingConfig(mode="inner", padding_px=4).model_dump()],
        content="images",
        channel_names=["a", "b"],
        cpus=1,
        gpus=0,
    )


def run_and_listen(assignment: Assignment) -> list[Message]:
    messages: list[Message] = []
    run_trial(assignment, FRAMES, messages.append)
    return messages


def before_saving(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Do something each time before the file to resume from is written."""

    def save_after(*arguments: Any, **more: Any) -> None:
        do()
        save_training(*arguments, **more)

    monkeypatch.setattr("usplit_core.checkpointing.save_training", save_after)


def test_a_trial_says_how_long_its_checkpoints_took(assignment: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    before_saving(monkeypatch, lambda: time.sleep(0.1))
    started = time.perf_counter()
    run_and_listen(assignment)
    result = read_result(Path(assignment.folder))
    assert result is not None
    assert EPOCHS * 0.1 <= result["cost"]["cost/checkpoint_seconds"] < time.perf_counter() - started

    # Called again, nothing is trained, and what was measured stays.
    run_and_listen(assignment)
    assert read_result(Path(assignment.folder)) == result


def test_a_full_store_costs_no_more_than_the_epoch_that_could_not_be_kept(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.engine.outage.time.sleep", lambda seconds: None)
    calls: list[None] = []

    def fail_once() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise OutputError("the file cannot be written") from OSError(errno.ENOSPC, "No space left on device")

    before_saving(monkeypatch, fail_once)
    messages = run_and_listen(assignment)
    assert [message["kind"] for message in messages] == [
        *("started", "epoch", "waiting", "epoch", "epoch", "evaluation", "finished"),
    ]
    assert [message["epoch"] for message in messages if message["kind"] == "epoch"] == [1, 2, 3]
    # One more than epochs: the second was trained twice.
    assert len(calls) == EPOCHS + 1


def test_a_store_that_stays_full_fails_the_trial_with_the_reason(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.engine.outage.time.sleep", lambda seconds: None)
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail() -> None:
        raise OutputError("the file cannot be written") from full

    def write_nothing(folder: Path, text: str) -> None:
        raise full

    before_saving(monkeypatch, fail)
    monkeypatch.setattr("study.engine.trial.write_error", write_nothing)
    messages = run_and_listen(assignment)
    assert [message["kind"] for message in messages] == ["started", "waiting", "failed"]
    assert messages[-1]["reason"].startswith("storage: storage has failed for ")


def test_epochs_of_an_earlier_attempt_are_marked_and_count_no_steps(assignment: Assignment) -> None:
    """A stopping rule has decided about them; those that are new are for it to decide."""
    assignment = assignment._replace(repeat_epochs=True)

    def epochs() -> list[tuple[int, bool, bool]]:
        found = [message for message in run_and_listen(assignment) if message["kind"] == "epoch"]
        return [(message["epoch"], message.get("repeated", False), message["steps"] > 0) for message in found]

    assert epochs() == [(number, False, True) for number in range(1, EPOCHS + 1)]
    assert epochs() == [(number, True, False) for number in range(1, EPOCHS + 1)]
