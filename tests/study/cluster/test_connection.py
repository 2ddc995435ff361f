"""Leaving Ray ends the connection, not the process."""

import subprocess
import sys
from pathlib import Path

import pytest

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
