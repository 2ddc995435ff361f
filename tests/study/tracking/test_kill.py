"""A driver that is killed while it writes the notebook: the next one completes it, and nothing is there twice."""

import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import pytest

from study.store import Store, open_store
from study.tracking.tracker import Tracker
from tests.study.tracking.trials import STUDY, contents, doubled_steps, fill, finish, planned, runs

SEEDS = (0, 1)
_START_S = 120
_STEP_S = 0.02


def write(root: Path) -> None:
    """Write the notebook of the computed trials, as the driver does."""
    store = open_store(root)
    finish(Tracker(store, STUDY), store, [planned(seed) for seed in SEEDS])


def rows(store: Store) -> int:
    """Return how many rows a notebook holds that may be half written."""
    path = store.root / "mlflow.db"
    if not path.exists():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        wanted = {"runs", "metrics", "params", "tags"} & tables
        return sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in wanted)


def kill_when_written(store: Store, share: int) -> bool:
    """Kill a driver as soon as the notebook holds more than `share` rows; say whether it was still alive."""
    process = get_context("spawn").Process(target=write, args=(store.root,))
    process.start()
    deadline = time.monotonic() + _START_S
    while process.is_alive() and rows(store) <= share:
        assert time.monotonic() < deadline
        time.sleep(_STEP_S)
    alive = process.is_alive()
    if alive:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive


@pytest.mark.slow
def test_a_driver_that_is_killed_while_it_writes_leaves_nothing_twice_and_nothing_out(
    tmp_path: Path, training: Path, empty_database: Path
) -> None:
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        shutil.copy(empty_database, tmp_path / name / "mlflow.db")
    whole, broken = (open_store(tmp_path / name) for name in ("whole", "broken"))
    finish(Tracker(whole, STUDY), whole, fill(whole, training, *SEEDS))
    expected = contents(whole)
    every = rows(whole)

    trials = fill(broken, training, *SEEDS)
    killed = [kill_when_written(broken, every * part // 8) for part in (1, 4)]
    assert all(killed)
    assert contents(broken) != expected
    finish(Tracker(broken, STUDY), broken, trials)
    assert contents(broken) == expected
    assert doubled_steps(broken) == 0
    kinds = {kind: Counter(run.info.status for run in runs(broken, kind)) for kind in ("trial", "evaluation", "cell")}
    assert kinds == {"trial": {"FINISHED": 2}, "evaluation": {"FINISHED": 4}, "cell": {"FINISHED": 2}}
