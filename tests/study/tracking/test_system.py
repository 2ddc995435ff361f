"""Load and memory of a trial's machine: sampled where that is on, shown once."""

import json
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from study.store import Store
from study.tracking.system import FILE, INTERVAL, ON, SYSTEM_KEY, system_rows, system_samples
from study.tracking.tracker import Tracker
from tests.study.tracking.trials import STUDY, fill, finish, runs


def test_nothing_is_sampled_where_it_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ON, raising=False)
    with system_samples(tmp_path, "cpu"):
        pass
    assert list(tmp_path.iterdir()) == []
    assert system_rows(tmp_path, 0) == []


def test_samples_are_taken_while_the_context_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ON, "true")
    monkeypatch.setenv(INTERVAL, "0.01")
    deadline = time.monotonic() + 20
    with system_samples(tmp_path, "cpu"):
        while len(system_rows(tmp_path, 0)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    rows = system_rows(tmp_path, 0)
    assert len(rows) >= 3
    assert [row.step for row in rows] == list(range(1, len(rows) + 1))
    assert all(row.metrics["system/process_memory_usage_megabytes"] > 1 for row in rows)
    assert system_rows(tmp_path, 2) == rows[2:]


def test_a_torn_line_is_no_sample_and_moves_no_other(tmp_path: Path) -> None:
    samples = [{"time_ms": 1000 + step, "metrics": {SYSTEM_KEY: float(step)}} for step in (1, 3)]
    (tmp_path / FILE).write_text(f'{json.dumps(samples[0])}\n{{"time_ms": 10{json.dumps(samples[1])}\n' * 2)
    assert [(row.step, row.time_ms) for row in system_rows(tmp_path, 0)] == [(1, 1001), (3, 1001)]
    assert system_rows(tmp_path, 1) == system_rows(tmp_path, 0)[1:]


def test_each_sample_is_shown_once_and_half_a_line_is_left_for_later(store: Store, training: Path) -> None:
    (trial,) = fill(store, training, 0)
    path = store.trial_folder(trial.fingerprint) / FILE
    lines = [json.dumps({"time_ms": 1000 + step, "metrics": {SYSTEM_KEY: float(step)}}) for step in (1, 2, 3)]
    tracker = Tracker(store, STUDY)
    path.write_text("\n".join(lines[:2]))
    tracker.open_trial(trial)
    tracker.flush()
    path.write_text("\n".join(lines) + "\n")
    finish(tracker, store, [trial])
    history = MlflowClient(store.tracking_uri).get_metric_history(runs(store, "trial")[0].info.run_id, SYSTEM_KEY)
    assert [(point.step, point.value, point.timestamp) for point in history] == [
        (1, 1, 1001),
        (2, 2, 1002),
        (3, 3, 1003),
    ]
