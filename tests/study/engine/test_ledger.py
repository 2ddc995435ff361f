"""What must run and what became of it outlives drivers, and has one writer."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from study.engine.ledger import Ledger, read_statuses
from study.engine.ledger_file import SCHEMA_VERSION
from study.errors import StoreError
from study.planning.design import plan_trials
from study.spec import Grid
from tests.study.test_spec import make_study


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


STUDY = make_study(train={"model.lc_depth": Grid(0, 2)}, evaluate={"tiling.padding_px": Grid(8, 16)})
TRIALS = plan_trials(STUDY, lambda data: "content")


def registered(ledger: Ledger) -> list[str]:
    ledger.register(STUDY, TRIALS)
    return [status.fingerprint for status in ledger.statuses(STUDY.name)]


def test_a_registered_study_is_pending_in_its_order(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert registered(ledger) == [trial.fingerprint for trial in TRIALS]
        assert {status.state for status in ledger.statuses(STUDY.name)} == {"pending"}
        assert all(status.is_open for status in ledger.statuses(STUDY.name))


def test_a_trial_is_open_until_trained_and_evaluated(path: Path) -> None:
    with Ledger.open(path) as ledger:
        first = registered(ledger)[0]
        ledger.lease(first, devices=1)
        ledger.close_attempt(first, "finished", outcome="finished")
        assert ledger.statuses(STUDY.name)[0].is_open
        for key in TRIALS[0].evaluation_keys:
            ledger.store_evaluation(first, key, {"test/ssim": 0.5})
        assert not ledger.statuses(STUDY.name)[0].is_open
        assert ledger.evaluation_metrics(first, TRIALS[0].evaluation_keys[0]) == {"test/ssim": 0.5}


def test_registering_again_keeps_what_is_finished_and_retries_what_failed(path: Path) -> None:
    with Ledger.open(path) as ledger:
        first, second, *_ = registered(ledger)
        ledger.close_attempt(first, "finished", outcome="finished")
        ledger.close_attempt(second, "failed", outcome="failed", reason="diverged")
        registered(ledger)
        assert [status.state for status in ledger.statuses(STUDY.name)[:2]] == ["finished", "pending"]


def test_another_study_with_the_same_trials_finds_them_finished(path: Path) -> None:
    other = make_study(name="other", train=dict(STUDY.train), evaluate=dict(STUDY.evaluate))
    with Ledger.open(path) as ledger:
        ledger.close_attempt(registered(ledger)[0], "finished", outcome="finished")
        ledger.register(other, plan_trials(other, lambda data: "content"))
        assert ledger.statuses("other")[0].state == "finished"


def test_a_lease_ends_with_its_driver(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.lease(registered(ledger)[0], devices=1)
    with Ledger.open(path) as ledger:
        assert ledger.statuses(STUDY.name)[0].state == "pending"


def test_a_trial_that_waits_for_a_device_costs_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = [0.0]
    monkeypatch.setattr(time, "time", lambda: 3600 * hours[0])
    with Ledger.open(path) as ledger:
        trial = registered(ledger)[0]
        found = []
        for ends_in_the_queue in (False, True):
            ledger.lease(trial, devices=2)
            hours[0] += 1
            found.append(ledger.spent(STUDY.name).device_hours)
            if not ends_in_the_queue:
                ledger.begin(trial)
            hours[0] += 3
            found.append(ledger.spent(STUDY.name).device_hours)
            ledger.release_leases("interrupted")
            found.append(ledger.spent(STUDY.name).device_hours)
        assert found == [0, 6, 6, 6, 6, 6]


@pytest.mark.parametrize(
    ("last_write", "hours"),
    [pytest.param(13, 3, id="at work"), pytest.param(9, 0, id="just begun"), pytest.param(99, 72, id="clocks differ")],
)
def test_what_a_killed_driver_had_running_costs_until_its_last_write(
    last_write: int, hours: float, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 3600.0 * 10)
    with Ledger.open(path) as ledger:
        trial = registered(ledger)[0]
        ledger.lease(trial, devices=2)
        ledger.begin(trial)
    os.utime(path, (0, 3600 * last_write))
    monkeypatch.setattr(time, "time", lambda: 3600.0 * 82)
    with Ledger.open(path) as ledger:
        assert ledger.spent(STUDY.name).device_hours == 2 * hours


def test_attempts_are_numbered(path: Path) -> None:
    with Ledger.open(path) as ledger:
        first = registered(ledger)[0]
        assert ledger.lease(first, devices=1) < ledger.lease(first, devices=1)


def test_a_second_driver_is_refused_while_readers_are_welcome(path: Path) -> None:
    with Ledger.open(path) as ledger:
        registered(ledger)
        with pytest.raises(StoreError, match="another usplit process"), Ledger.open(path):
            pass
        assert len(read_statuses(path, STUDY.name)) == len(TRIALS)


def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer version"), Ledger.open(path):
        pass


def test_an_interrupted_registration_leaves_the_old_one(path: Path) -> None:
    with Ledger.open(path) as ledger:
        registered(ledger)
        broken = [*TRIALS, TRIALS[0]]  # the same trial twice violates the primary key
        with pytest.raises(sqlite3.IntegrityError):
            ledger.register(STUDY, broken)
        assert len(ledger.statuses(STUDY.name)) == len(TRIALS)
