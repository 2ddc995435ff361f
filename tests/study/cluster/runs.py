"""A study that runs on nodes while a test disturbs it, and the counts that must come out."""

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from study.engine.ledger import read_statuses
from tests.study.cluster.ray_nodes import Nodes
from tests.study.test_interruption import doubled_steps, open_runs
from tests.study.test_run import count_runs

#: Six trials of some seconds each.
_LONGER = ("replicates=3", "train.epochs=8", "train.steps_per_epoch=8", "tiling.mode=inner")
TRIALS = 6


class Run:
    """A study that has been started."""

    def __init__(self, nodes: Nodes, space: Path, store: Path, *options: str) -> None:
        self.store = store
        self._options = options
        self._nodes = nodes
        self._space = space
        self._log = store / "studies" / "small" / "log.jsonl"
        self.start()

    def start(self, nodes: Nodes | None = None) -> None:
        """Give the command, or give it again, perhaps to other nodes."""
        self._nodes = nodes or self._nodes
        settings = [word for setting in _LONGER for word in ("--set", setting)]
        command = [sys.executable, "-m", "study", "run", str(self._space), "--store", str(self.store), *settings]
        command += ["--name", "small", "--address", self._nodes.address, *self._options]
        self._process = subprocess.Popen(
            command, env=self._nodes.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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

    def trials_by_process(self) -> Counter[str]:
        """Return how many trials each worker has begun."""
        return Counter(str(message["process"]) for message in self.messages("started"))

    def repeated_epochs(self) -> int:
        """Return how many epochs have been trained again."""
        epochs = [(message["trial"], message["epoch"]) for message in self.messages("epoch")]
        return len(epochs) - len(set(epochs))

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and all that was said."""
        output, _ = self._process.communicate(timeout=120)
        return self._process.returncode, output

    def finish(self) -> str:
        """Wait for the end, which must be a good one; return all that was said."""
        code, output = self.wait()
        assert code == 0, output
        return output

    def kill(self) -> None:
        """Kill the driver, which leaves it no time for anything."""
        if self.is_alive():
            self._process.kill()
            self._process.communicate()


def check_counts(store: Path, *, unheard: int = 0) -> None:
    """Every trial finished once, with one run and one evaluation, no step twice, nothing left open.

    `unheard` trials may have ended just after their driver was killed, so that only their results tell.
    """
    statuses = read_statuses(store / "ledger.sqlite", "small")
    assert [(status.state, status.evaluations_done) for status in statuses] == [("finished", 1)] * TRIALS
    assert count_runs(store) == {"trial": TRIALS, "evaluation": TRIALS, "cell": 2}
    assert (open_runs(store), doubled_steps(store)) == (0, 0)
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        finished = connection.execute("SELECT count(*) FROM attempts WHERE outcome = 'finished'").fetchone()[0]
        still_open = connection.execute("SELECT count(*) FROM attempts WHERE ended IS NULL").fetchone()[0]
    assert TRIALS - unheard <= finished <= TRIALS
    assert still_open == 0


def open_leases(store: Path) -> int:
    """Return how many trials are with workers, as far as the ledger knows."""
    return sum(status.state == "leased" for status in read_statuses(store / "ledger.sqlite", "small"))
