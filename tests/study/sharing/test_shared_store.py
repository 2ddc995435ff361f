"""A driver whose nodes share trials through an object store books what lies there, ends trials, and clears them."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from study.engine.ledger import Ledger
from study.engine.trial_folder import AttemptSuperseded, read_result, write_evaluation, write_result
from study.errors import StoreError
from study.sharing.mirror import bring
from study.sharing.objects import Objects, open_objects
from study.sharing.shared_store import check_shared, fetched
from study.sharing.shared_trial import Attempt, SharedTrial
from study.store import Store
from tests.study.engine.test_driver import Desk
from tests.study.sharing.shared_folders import at, go_away, left_over


class SharedDesk(Desk):
    """A driver with its ledger, whose store is shared through an object store of this process."""

    def __init__(self, folder: Path, ledger: Ledger, address: str) -> None:
        super().__init__(folder, ledger)
        self.store = Store(folder, shared=address)
        self.objects = open_objects(address)
        self.driver._store = self.store

    def compute(self, fingerprint: str, folder: Path) -> Attempt:
        """Do what a worker does at another node: train, and evaluate under one tiling."""
        attempt = SharedTrial(self.objects, fingerprint).begin(1)
        assert bring(self.objects, attempt.manifest, folder)
        write_result(folder, {"stopped": "finished"})
        trial = next(trial for trial in self.trials if trial.fingerprint == fingerprint)
        write_evaluation(folder, trial.evaluation_keys[0], {"metrics": {"test/ssim": 0.5}, "frames": []}, {})
        attempt.commit(folder)
        return attempt


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SharedDesk]:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        yield SharedDesk(tmp_path / "store", ledger, f"memory:///{uuid.uuid4().hex}")


def test_workers_are_told_where_trials_are_shared(desk: SharedDesk) -> None:
    assert desk.next().shared == desk.store.shared


def test_what_lies_finished_in_the_object_store_is_booked(desk: SharedDesk, tmp_path: Path) -> None:
    first, second = (trial.fingerprint for trial in desk.trials[:2])
    desk.compute(first, tmp_path / "node")
    desk.driver.recover()
    assert desk.state(first) == "finished"
    assert desk.status(first).evaluations_done == 1
    assert desk.state(second) == "pending"
    assert not desk.store.trial_folder(second).exists()


def test_a_study_waits_for_its_object_store(
    desk: SharedDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = desk.trials[0].fingerprint
    desk.compute(first, tmp_path / "node")
    monkeypatch.setattr("study.engine.outage.time.sleep", lambda seconds: None)
    read, disturb = Objects.read, at(1, go_away)

    def read_if_possible(self: Objects, key: str) -> Any:
        disturb("read")
        return read(self, key)

    monkeypatch.setattr(Objects, "read", read_if_possible)
    desk.driver.recover()
    assert desk.state(first) == "finished"
    assert "refuses the connection" in capsys.readouterr().err


def test_a_closed_trial_is_sealed_and_an_open_one_is_not(desk: SharedDesk, tmp_path: Path) -> None:
    first, second = desk.next().fingerprint, desk.next().fingerprint
    attempts = [desk.compute(name, tmp_path / name) for name in (first, second)]
    (tmp_path / second / "result.json").unlink()
    attempts[1].commit(tmp_path / second)
    desk.driver.take(first, {"kind": "finished"})
    desk.driver.settle()
    write_result(tmp_path / first, {"stopped": "late"})
    with pytest.raises(AttemptSuperseded):
        attempts[0].commit(tmp_path / first)
    assert read_result(fetched(desk.store, first)) == {"stopped": "finished"}
    write_result(tmp_path / second, {"stopped": "in time"})
    attempts[1].commit(tmp_path / second)
    assert read_result(fetched(desk.store, second)) == {"stopped": "in time"}
    assert left_over(desk.objects) == set()


def test_a_study_that_is_to_be_computed_again_has_nothing_left(desk: SharedDesk, tmp_path: Path) -> None:
    first = desk.trials[0].fingerprint
    desk.compute(first, tmp_path / "node")
    desk.driver.recover()
    assert read_result(desk.store.trial_folder(first)) is not None
    desk.driver.discard_results()
    desk.driver.recover()
    assert desk.state(first) == "pending"
    assert read_result(desk.store.trial_folder(first)) is None
    assert all(key.endswith("/current.json") for key in desk.objects.keys(""))


def test_an_object_store_is_tried_before_anything_else(desk: SharedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    check_shared(desk.store)
    assert desk.objects.keys("") == []
    monkeypatch.setattr(Objects, "exchange", lambda *arguments: go_away())
    with pytest.raises(StoreError, match="refuses the connection"):
        check_shared(desk.store)
