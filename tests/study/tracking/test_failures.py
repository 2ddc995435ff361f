"""Whatever goes wrong while the notebook is written, in the end it holds everything once."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from study.errors import StoreError
from study.store import Store
from study.tracking.tracker import Tracker, TrackingError
from tests.study.tracking.trials import (
    STUDY,
    contents,
    doubled_steps,
    fill,
    finish,
    planned,
    runs,
)

PSNR = "validation/psnr_db"


def test_a_resumed_trial_goes_on_in_its_own_run(store: Store, training: Path) -> None:
    (trial,) = fill(store, training, 0)
    tracker = Tracker(store, STUDY)
    tracker.open_trial(trial)
    tracker.end_orphans()
    (run,) = runs(store, "trial")
    assert (run.info.status, run.data.tags["usplit.state"]) == ("KILLED", "interrupted")
    again = Tracker(store, STUDY)
    again.open_trial(trial)
    again.flush()
    assert runs(store, "trial")[0].info.status == "RUNNING"
    finish(again, store, [trial])
    (resumed,) = runs(store, "trial")
    assert (resumed.info.run_id, resumed.info.status) == (run.info.run_id, "FINISHED")
    assert doubled_steps(store) == 0


def test_a_trial_that_fails_again_says_where_and_why_it_did_last(store: Store, training: Path) -> None:
    (trial,) = fill(store, training, 0)
    folder = store.trial_folder(trial.fingerprint)
    (folder / "record.json").unlink()  # they fail before they have one
    for host, reason in (("node1", "memory"), ("node2", "user"), ("node3", "user")):
        tracker = Tracker(store, STUDY)
        # Both notes wait together, as they do where the tracking store is slow.
        tracker.open_trial(trial, {"usplit.host": host})
        tracker.sync_trial(trial, folder, state="failed", reason=reason)
        tracker.flush()
        (run,) = runs(store, "trial")
        assert (run.data.tags["usplit.host"], run.data.tags["usplit.reason"]) == (host, reason)
        assert run.info.status == "FAILED"


class Unreachable:
    """A client of files in an object store that cannot be reached: its library raises an error of its own."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def log_artifacts(self, run_id: str, folder: str) -> None:
        raise LookupError("unable to locate credentials")


def test_errors_of_the_library_of_an_object_store_are_those_of_the_tracking_store(store: Store, training: Path) -> None:
    (trial,) = fill(store, training, 0)
    tracker = Tracker(store, STUDY)
    tracker._client = Unreachable(MlflowClient(store.tracking_uri))  # type: ignore[assignment] # it answers like one
    with pytest.raises(
        TrackingError, match=r"LookupError: unable to locate credentials.*is sent when the study is run"
    ):
        finish(tracker, store, [trial])


def test_deleted_runs_are_made_again(store: Store, training: Path) -> None:
    trials = fill(store, training, 0)
    tracker = Tracker(store, STUDY)
    finish(tracker, store, trials)
    before = contents(store)
    tracker.delete_runs("trial0")
    assert runs(store, "trial") + runs(store, "evaluation") == []
    finish(tracker, store, trials)
    assert contents(store) == before


def test_a_name_that_stands_for_another_study_on_a_shared_server_is_refused(store: Store) -> None:
    Tracker(store, STUDY)
    with pytest.raises(StoreError, match="of another study: give this one a name of its own"):
        Tracker(store, replace(STUDY, base={"data.path": "others.tif"}))


class Flaky:
    """A client whose connection breaks now and then: before a call, or after it but before its answer."""

    def __init__(self, client: MlflowClient, breaks: set[int], *, after: bool) -> None:
        self._client, self._breaks, self._after = client, breaks, after
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls in self._breaks and not self._after:
                raise MlflowException("connection refused")
            answer = getattr(self._client, name)(*arguments, **more)
            if self.calls in self._breaks:
                raise ConnectionError("connection reset by peer")
            return answer

        return call


@pytest.mark.parametrize("after", [False, True])
def test_whichever_call_breaks_everything_is_there_once_in_the_end(store: Store, training: Path, after: bool) -> None:
    trials = fill(store, training, 0)
    whole = Tracker(store, STUDY)
    finish(whole, store, trials)
    expected = contents(store)
    whole.delete_runs("trial0")
    whole.delete_runs("cell")

    tracker = Tracker(store, STUDY)
    # Each break comes one call later than the last, so every call is the first to break at some time.
    breaks = {total for number in range(1, 40) if (total := number * (number + 1) // 2 + number) < 400}
    flaky = Flaky(MlflowClient(store.tracking_uri), breaks, after=after)
    tracker._client = flaky  # type: ignore[assignment] # it answers like one
    tracker._runs._client = flaky  # type: ignore[assignment] # as above
    failures = 0
    for _ in range(40):
        try:
            finish(tracker, store, trials)
            break
        except TrackingError:
            failures += 1
            continue
    assert failures > 5
    assert contents(store) == expected
    assert doubled_steps(store) == 0
    assert {run.info.status for kind in ("trial", "evaluation", "cell") for run in runs(store, kind)} == {"FINISHED"}


def test_an_absent_store_gets_everything_when_it_is_back(store: Store, training: Path) -> None:
    trials = fill(store, training, 0, 1)
    tracker = Tracker(store, STUDY, interval_s=0.02)
    (store.root / "mlflow.db").rename(store.root / "away")
    (store.root / "mlflow.db").mkdir()  # a database that cannot be opened
    tracker._client._tracking_client.store.engine.dispose()
    for trial in trials:
        tracker.open_trial(trial)
        for _ in range(4):
            tracker.log_epoch(trial.fingerprint)
        tracker.sync_trial(trial, store.trial_folder(trial.fingerprint), state="finished")
    deadline = time.monotonic() + 20
    while not tracker.problem and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "cannot be used" in tracker.problem
    with pytest.raises(TrackingError, match="is sent when the study is run again"):
        tracker.log_cells(trials, store.trial_folder)
    (store.root / "mlflow.db").rmdir()
    (store.root / "away").rename(store.root / "mlflow.db")
    tracker.log_cells(trials, store.trial_folder)
    tracker.end_orphans()
    assert tracker.problem == ""
    assert [len(runs(store, kind)) for kind in ("trial", "evaluation", "cell")] == [2, 4, 2]
    assert doubled_steps(store) == 0


def test_news_are_written_while_the_study_runs(store: Store, training: Path) -> None:
    (trial,) = fill(store, training, 0)
    tracker = Tracker(store, STUDY, interval_s=0.02)
    tracker.open_trial(trial)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = runs(store, "trial")
        if found and PSNR in found[0].data.metrics:
            break
        time.sleep(0.02)
    assert found[0].info.status == "RUNNING"
    tracker.flush()
    assert tracker.seconds > 0


def test_a_trial_that_has_not_begun_has_a_run_without_metrics(store: Store) -> None:
    trial = planned(3)
    tracker = Tracker(store, STUDY)
    tracker.sync_trial(trial, store.trial_folder("trial3"), state="failed", reason="user: no such file")
    tracker.end_orphans()
    (run,) = runs(store, "trial")
    assert (run.info.status, run.data.tags["usplit.reason"]) == ("FAILED", "user: no such file")
    assert run.data.metrics == {}
