"""A worker that shares through an object store computes what one with a shared folder computes, and keeps nothing."""

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from study.engine.trial import Assignment, Message, run_trial
from study.engine.trial_folder import AttemptSuperseded, read_evaluation, read_result
from study.sharing.mirror import fetch
from study.sharing.objects import Objects, open_objects
from study.sharing.shared_store import fetched, share_noise_model
from study.sharing.shared_trial import SharedTrial
from study.sharing.workplace import workplace
from study.store import Store
from tests.study.engine.test_trial import EPOCHS, FRAMES
from tests.study.sharing.shared_folders import at, go_away, left_over
from tests.usplit_core.trainings import tiny_run, weights
from usplit_core.checkpointing import BEST, LAST
from usplit_core.config import TilingConfig
from usplit_core.training import read_history


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let workers have their folders where the test sees them."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", shared=f"memory:///{uuid.uuid4().hex}")


def objects_of(store: Store) -> Objects:
    assert store.shared is not None
    return open_objects(store.shared)


def assignment(store: Store, fingerprint: str = "tiny", **changes: Any) -> Assignment:
    return Assignment(
        fingerprint=fingerprint,
        attempt=1,
        label="tiny",
        folder=str(store.trial_folder(fingerprint)),
        run=tiny_run(train__epochs=EPOCHS, **changes).model_dump(mode="json"),
        tilings=[TilingConfig(mode="inner", padding_px=4).model_dump()],
        content="images",
        channel_names=["a", "b"],
        cpus=1,
        gpus=0,
        shared=store.shared or "",
    )


def run_and_listen(work: Assignment) -> list[Message]:
    messages: list[Message] = []
    run_trial(work, FRAMES, messages.append)
    return messages


def test_what_a_worker_computes_is_the_same_through_an_object_store(
    store: Store, tmp_path: Path, scratch: Path
) -> None:
    messages = run_and_listen(assignment(store))
    assert [message["kind"] for message in messages] == ["started", *["epoch"] * EPOCHS, "evaluation", "finished"]
    assert not store.trial_folder("tiny").exists()
    assert list(scratch.glob("usplit-trial-*")) == []

    apart, folder = Store(tmp_path / "apart"), fetched(store, "tiny")
    run_and_listen(assignment(apart))
    other = apart.trial_folder("tiny")
    assert _names(folder) == _names(other) - {"attempt"}
    key = next(path.name for path in (other / "evaluations").iterdir())
    one, two = read_evaluation(folder, key), read_evaluation(other, key)
    assert one is not None
    assert two is not None
    assert one["frames"] == two["frames"]
    # The files themselves differ: their records tell how long the training took.
    torch.testing.assert_close(weights(folder / BEST), weights(other / BEST), rtol=0, atol=0)
    assert left_over(objects_of(store)) == set()


def _names(folder: Path) -> set[str]:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith(".")}


def test_each_message_tells_of_what_can_be_fetched(store: Store) -> None:
    epochs: list[int] = []

    def listen(message: Message) -> None:
        if message["kind"] == "epoch":
            epochs.append(len(read_history(fetched(store, "tiny"))))
        if message["kind"] == "evaluation":
            assert read_evaluation(fetched(store, "tiny"), message["key"]) is not None
        if message["kind"] == "finished":
            assert read_result(fetched(store, "tiny")) is not None

    run_trial(assignment(store), FRAMES, listen)
    assert epochs == list(range(1, EPOCHS + 1))


def test_a_trial_goes_on_from_its_last_shared_epoch(store: Store) -> None:
    class Dead(BaseException):
        pass

    def die_after_two(message: Message) -> None:
        if message["kind"] == "epoch" and message["epoch"] == 2:
            raise Dead

    with pytest.raises(Dead):
        run_trial(assignment(store), FRAMES, die_after_two)
    messages = run_and_listen(assignment(store))
    assert [message["epoch"] for message in messages if message["kind"] == "epoch"] == [3]
    assert left_over(objects_of(store)) == set()


def test_an_epoch_waits_for_the_object_store_and_is_not_trained_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.engine.outage.time.sleep", lambda seconds: None)
    failing(monkeypatch, at(4, go_away))
    messages = run_and_listen(assignment(store))
    kinds = [message["kind"] for message in messages]
    assert kinds.count("waiting") == 1
    assert [message["epoch"] for message in messages if message["kind"] == "epoch"] == [1, 2, 3]
    assert kinds[-1] == "finished"


def failing(monkeypatch: pytest.MonkeyPatch, disturb: Callable[[str], None]) -> None:
    """Disturb uploads."""
    write = Objects.write

    def write_if_possible(self: Objects, key: str, content: Any) -> None:
        disturb("write")
        write(self, key, content)

    monkeypatch.setattr(Objects, "write", write_if_possible)


def test_a_worker_that_is_superseded_ends_at_its_next_epoch(store: Store) -> None:
    def take_over(message: Message) -> None:
        if message["kind"] == "epoch" and message["epoch"] == 1:
            SharedTrial(objects_of(store), "tiny").begin(2)

    with pytest.raises(AttemptSuperseded):
        run_trial(assignment(store), FRAMES, take_over)
    assert len(read_history(fetched(store, "tiny"))) == 1


def test_a_training_goes_on_from_another_one_that_another_node_has_computed(store: Store) -> None:
    origin = uuid.uuid4().hex
    run_and_listen(assignment(store, origin))
    messages = run_and_listen(assignment(store, "next", train__continue_from=origin))
    assert messages[-1]["kind"] == "finished"
    assert _names(fetched(store, "next")) >= {LAST, BEST, "result.json"}
    assert not any(origin in key for key in objects_of(store).keys("trials/next"))


def test_epochs_are_repeated_for_a_stopping_rule_without_becoming_the_writer(store: Store) -> None:
    run_and_listen(assignment(store))
    before = SharedTrial(objects_of(store), "tiny").seen()
    messages = run_and_listen(assignment(store)._replace(replay=True))
    assert [message["kind"] for message in messages] == [*["epoch"] * EPOCHS, "replayed"]
    assert SharedTrial(objects_of(store), "tiny").seen() == before


def test_storage_that_a_node_cannot_use_fails_the_trial_with_the_reason(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.engine.outage.time.sleep", lambda seconds: None)
    monkeypatch.setattr(Objects, "read", lambda self, key: go_away())
    messages = run_and_listen(assignment(store))
    assert messages[-1]["kind"] == "failed"
    assert messages[-1]["reason"].startswith("storage: storage has failed for 6")


def test_a_noise_model_reaches_the_node(store: Store, tmp_path: Path) -> None:
    kept = tmp_path / "0123.safetensors"
    kept.write_bytes(b"weights")
    share_noise_model(store, str(kept))
    kept.unlink()
    run = tiny_run(
        objective__likelihood="noise_model", objective__noise_model_path=str(kept), model__log_variance="none"
    )
    with workplace(store.trial_folder("tiny"), store.shared or "") as place:
        path = place.with_noise_model(run).objective.noise_model_path
        assert path is not None
        assert Path(path).read_bytes() == b"weights"


def test_folders_that_killed_workers_have_left_are_removed_and_those_of_living_ones_are_not(
    store: Store, scratch: Path
) -> None:
    left = scratch / "usplit-trial-left"
    left.mkdir()
    (left / ".lock").touch()
    others = scratch / "something else"
    others.mkdir()
    with workplace(store.trial_folder("a"), store.shared or "") as first:
        assert not left.exists()
        with workplace(store.trial_folder("b"), store.shared or "") as second:
            assert first.folder.parent.exists()
            assert second.folder.parent.exists()
    assert list(scratch.iterdir()) == [others]


def test_an_interrupted_fetch_is_taken_up_and_files_that_are_gone_are_removed(store: Store, tmp_path: Path) -> None:
    run_and_listen(assignment(store))
    trial, folder = SharedTrial(objects_of(store), "tiny"), tmp_path / "driver"
    fetch(trial, folder)
    times = {path: path.stat().st_ino for path in folder.iterdir()}
    fetch(trial, folder)
    assert {path: path.stat().st_ino for path in folder.iterdir()} == times, "nothing was fetched again"
    (folder / LAST).unlink()
    (folder / "of the user").touch()
    fetch(trial, folder)
    assert (folder / LAST).exists()
    trial.clear()
    fetch(trial, folder)
    assert _names(folder) == {"of the user"}
