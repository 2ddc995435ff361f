"""Leaving Ray ends the connection, not the process; a head node that is lost ends the study, in words."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from study.cluster import connection
from study.cluster.connection import ClusterLost

#: A driver as Tune leaves it: references to objects of Ray in cycles that only the collector frees.
_DRIVER = """
import gc

import ray

from study.cluster.connection import connected


class Collecting:
    def __init__(self, worker):
        self._worker = worker

    def __getattr__(self, name):
        return getattr(self._worker, name)

    def shutdown_driver(self):
        self._worker.shutdown_driver()
        gc.collect()


for _ in range(2):
    with connected(None, shared_bytes=0):
        cycle = [ray.put("an object")]
        cycle.append(cycle)
        del cycle
        worker = ray._private.worker.global_worker
        worker.core_worker = Collecting(worker.core_worker)
assert gc.isenabled()
print("alive")
"""


@pytest.mark.slow
def test_the_process_outlives_its_connections_though_the_collector_runs_meanwhile(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr


@pytest.fixture
def head() -> Iterator[socket.socket]:
    """Return what listens in place of a head node."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def watch(head: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[connection._Head]:
    """Return a watch over the head that loses its patience within a moment."""
    for name in ("_BETWEEN_QUESTIONS_S", "_SILENCE_S", "_GRACE_S"):
        monkeypatch.setattr(connection, name, 0.05)
    started = connection._Head(f"127.0.0.1:{head.getsockname()[1]}")
    yield started
    started.stop()


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)  # a thread decides; nothing tells
    return holds()


def is_lost(watch: connection._Head) -> bool:
    try:
        watch.check()
    except ClusterLost:
        return True
    return False


def test_a_head_that_answers_is_not_lost(watch: connection._Head) -> None:
    time.sleep(0.3)  # several times as long as a silence may last
    watch.check()
    watch.check_now()


def test_a_head_that_is_silent_for_long_is_lost_and_whoever_does_not_leave_is_ended(
    watch: connection._Head, head: socket.socket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    head.close()
    with pytest.raises(ClusterLost, match="--address"):
        watch.check_now()
    assert eventually(lambda: is_lost(watch))
    assert eventually(lambda: ends == [2])
    assert capsys.readouterr().err.count("is lost") == 1


def test_whoever_leaves_in_time_is_not_ended(
    watch: connection._Head, head: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    monkeypatch.setattr(connection, "_GRACE_S", 0.5)
    head.close()
    assert eventually(lambda: is_lost(watch))
    watch.stop()
    time.sleep(0.7)  # longer than the grace
    assert ends == []
