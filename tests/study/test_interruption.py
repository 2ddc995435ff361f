"""Whatever ends a study in the middle, the same command goes on, and the numbers are those of an unbroken run."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.study.test_run import count_runs, usplit

pytestmark = pytest.mark.slow

#: Long enough to be stopped in the middle: some ten seconds of training in all.
LONGER = ("--set", "train.epochs=12", "--set", "train.steps_per_epoch=8", "--name", "small")


def start_and_stop(space: Path, store: Path, stop: signal.Signals | None) -> tuple[int, str]:
    """Start a study, send its driver a signal after the third epoch of some trial, or stop it from elsewhere."""
    command = [sys.executable, "-m", "study", "run", str(space), "--store", str(store), *LONGER]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = store / "studies" / "small" / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and '"epoch": 3' in log.read_text()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)  # the file grows at the pace of the trainings; nothing else tells
    if stop is None:
        stopped = usplit("stop", "small", "--store", store)
        assert "usplit resume small" in stopped.stdout, stopped.stdout + stopped.stderr
    else:
        os.kill(process.pid, stop)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def scores(store: Path) -> dict[str, float]:
    """Return every score of every evaluation that does not measure time."""
    found = {}
    for path in store.glob("trials/*/evaluations/*/scores.json"):
        for name, value in json.loads(path.read_text())["metrics"].items():
            if "seconds" not in name:
                found[f"{path.parent.parent.parent.name} {path.parent.name} {name}"] = value
    return found


def open_runs(store: Path) -> int:
    with sqlite3.connect(store / "mlflow.db") as connection:
        return int(connection.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()[0])


def doubled_steps(store: Path) -> int:
    query = "SELECT count(*) FROM (SELECT 1 FROM metrics GROUP BY run_uuid, key, step HAVING count(*) > 1)"
    with sqlite3.connect(store / "mlflow.db") as connection:
        return int(connection.execute(query).fetchone()[0])


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, images: Path) -> dict[str, float]:
    """Return the scores of a study that nobody stopped."""
    from tests.study.conftest import SPACE

    folder = tmp_path_factory.mktemp("unbroken")
    space = folder / "small.py"
    space.write_text(SPACE.format(path=str(images)))
    finished = usplit("run", space, "--store", folder / "store", *LONGER)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return scores(folder / "store")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, None])
def test_a_stopped_study_goes_on_to_the_same_numbers(
    stop: signal.Signals | None, space: Path, tmp_path: Path, unbroken: dict[str, float]
) -> None:
    store = tmp_path / "store"
    code, output = start_and_stop(space, store, stop)
    if stop is not signal.SIGKILL:
        assert code == 130, output
        assert "the same command goes on" in output
        assert "Traceback" not in output
        assert open_runs(store) == 0
    else:
        assert code == -signal.SIGKILL

    # The search space is no longer needed: the store has kept a copy.
    space.unlink()
    again = usplit("resume", "small", "--store", store)
    assert again.returncode == 0, again.stdout + again.stderr
    assert scores(store) == unbroken
    assert count_runs(store) == {"trial": 4, "evaluation": 8, "cell": 4}
    assert open_runs(store) == 0
    assert doubled_steps(store) == 0
