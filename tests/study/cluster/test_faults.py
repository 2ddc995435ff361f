"""Nodes and workers are killed under a study: every trial is finished once, and nothing is left running."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from study.engine.ledger import read_statuses
from tests.study.cluster.ray_nodes import Nodes, can_hide_folders
from tests.study.test_interruption import doubled_steps, open_runs
from tests.study.test_run import count_runs

pytestmark = pytest.mark.multinode

#: Six trials of some seconds each.
LONGER = ("replicates=3", "train.epochs=8", "train.steps_per_epoch=8", "tiling.mode=inner")
TRIALS = 6


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """Return a cluster of a head and one worker node."""
    with Nodes() as started:
        started.add("first")
        yield started


class Run:
    """A study that runs on nodes while a test disturbs it."""

    def __init__(self, nodes: Nodes, space: Path, store: Path) -> None:
        self.store = store
        self._log = store / "studies" / "small" / "log.jsonl"
        settings = [word for setting in LONGER for word in ("--set", setting)]
        command = [sys.executable, "-m", "study", "run", str(space), "--store", str(store), *settings]
        command += ["--name", "small", "--address", nodes.address]
        self._process = subprocess.Popen(
            command, env=nodes.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """Return what workers have reported so far."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        messages = [json.loads(line) for line in lines if line.endswith("}")]
        return [message for message in messages if message["kind"] == kind]

    def wait_for(self, kind: str, count: int) -> list[dict[str, Any]]:
        """Return the messages of a kind as soon as there are `count` of them."""
        deadline = time.monotonic() + 80
        while len(found := self.messages(kind)) < count:
            assert self._process.poll() is None, self._process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)  # the log grows at the pace of the trainings; nothing else tells
        return found

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def finish(self) -> None:
        """Wait for the end, which must be a good one."""
        output, _ = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, output

    def end(self) -> None:
        """End it however it goes on, for a test that has failed."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def run(nodes: Nodes, space: Path, tmp_path: Path) -> Iterator[Run]:
    """Return a study that has just been started."""
    started = Run(nodes, space, tmp_path / "store")
    yield started
    started.end()


def check_counts(store: Path) -> None:
    """Every trial finished once, with one run and one evaluation, no step twice, nothing left open."""
    statuses = read_statuses(store / "ledger.sqlite", "small")
    assert [(status.state, status.evaluations_done) for status in statuses] == [("finished", 1)] * TRIALS
    assert count_runs(store) == {"trial": TRIALS, "evaluation": TRIALS, "cell": 2}
    assert (open_runs(store), doubled_steps(store)) == (0, 0)
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        finished = connection.execute("SELECT count(*) FROM attempts WHERE outcome = 'finished'").fetchone()[0]
        still_open = connection.execute("SELECT count(*) FROM attempts WHERE ended IS NULL").fetchone()[0]
    assert (finished, still_open) == (TRIALS, 0)


def test_a_killed_worker_costs_one_epoch_at_most(nodes: Nodes, run: Run) -> None:
    last = run.wait_for("epoch", 4)[-1]
    for worker in nodes.workers("first"):
        os.kill(worker, signal.SIGKILL)
    run.finish()
    check_counts(run.store)
    assert len(run.messages("started")) == TRIALS + 1
    epochs = [message["epoch"] for message in run.messages("epoch") if message["trial"] == last["trial"]]
    assert len(epochs) - len(set(epochs)) <= 1


def test_trials_of_a_killed_node_go_on_at_another(nodes: Nodes, run: Run) -> None:
    nodes.add("second")
    while run.is_alive() and not nodes.workers("second"):
        time.sleep(0.05)  # Ray gives a node trials when it likes
    run.wait_for("epoch", len(run.messages("epoch")) + 2)
    os.kill(nodes.raylet("second"), signal.SIGKILL)
    run.finish()
    check_counts(run.store)


def test_a_node_that_joins_takes_trials(nodes: Nodes, run: Run) -> None:
    run.wait_for("epoch", 1)
    nodes.add("second")
    took_some = False
    while run.is_alive() and not took_some:
        took_some = bool(nodes.workers("second"))
        time.sleep(0.05)  # as above
    run.finish()
    assert took_some
    check_counts(run.store)


def doctor(nodes: Nodes, store: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "study", "doctor", "--address", nodes.address, "--store", str(store)]
    environment = {**nodes.environment, "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)


def test_nodes_of_one_machine_pass_and_the_store_is_left_clean(nodes: Nodes, tmp_path: Path) -> None:
    done = doctor(nodes, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("read and written at") == 2
    assert done.stdout.count("the same as here") == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not can_hide_folders(), reason="needs the right to mount")
def test_a_node_that_does_not_share_the_store_or_has_no_gpus_is_named(nodes: Nodes, tmp_path: Path) -> None:
    nodes.add("apart", hidden=tmp_path, options=("--num-gpus=2",))
    done = doctor(nodes, tmp_path)
    assert done.returncode == 2
    assert done.stdout.count("it is another folder there") == 2  # in the table, and with its remedy
    assert "such as NFS" in done.stdout
    assert "Ray counts 2, torch sees 0" in done.stdout


def test_a_node_that_hangs_is_named(nodes: Nodes, tmp_path: Path) -> None:
    raylet = nodes.raylet("first")
    os.kill(raylet, signal.SIGSTOP)
    done = doctor(nodes, tmp_path)
    os.kill(raylet, signal.SIGCONT)
    assert done.returncode == 2
    assert "no answer in 30 s" in done.stdout


def test_a_cluster_with_another_token_lets_nobody_in(nodes: Nodes, tmp_path: Path) -> None:
    nodes.environment["RAY_AUTH_TOKEN"] = "0" * 64
    done = doctor(nodes, tmp_path)
    assert done.returncode == 2
    assert "does not let this command in" in done.stdout
    assert "0" * 64 not in done.stdout + done.stderr
