"""Clusters of Ray on this machine, whose nodes have as many cores and GPUs as a benchmark says they have."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.results import REPOSITORY
from study import environment
from study.cluster.connection import connected
from study.engine import runner
from study.engine.driver import Driver
from study.engine.ledger import Ledger
from study.engine.slots import Slots
from study.engine.trial import Message
from study.spec import Study
from study.store import open_store

_LEAST_BYTES = 80 * 1024**2


@contextmanager
def cluster(nodes: int, *, head_cpus: int = 0, cpus: int = 1, gpus: int = 0, shared_bytes: int = 0) -> Iterator[str]:
    """Yield the address of a cluster: a head, and further nodes.

    Parameters
    ----------
    head_cpus, cpus, gpus
        Cores of the head, and cores and GPUs of each other node, as Ray counts them.
    shared_bytes
        Room for frames in the object store of each node.
    """
    # Ray and its workers read these when they start; a process keeps the first token that it has read.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    # Workers, which Ray makes nice, would otherwise wait for whatever else this machine does.
    os.environ |= {"RAY_AUTH_MODE": "token", "PYTHONPATH": str(REPOSITORY), "RAY_worker_niceness": "0"}
    environment.set_defaults()
    from ray.cluster_utils import Cluster

    usual: dict[str, Any] = {"object_store_memory": _LEAST_BYTES + 2 * shared_bytes, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cpus, **usual})
    try:
        for _ in range(nodes):
            started.add_node(num_cpus=cpus, num_gpus=gpus, **usual)
        yield started.address
    finally:
        started.shutdown()  # type: ignore[no-untyped-call] # Ray's gap


def run_on_cluster(study: Study, address: str, store: Path, show: Callable[[Driver, Message], None]) -> None:
    """Run a study as `study.engine.runner.run_study` does, but for the checks of the nodes.

    Torch sees none of the GPUs that the nodes are said to have, so they would be refused.

    Parameters
    ----------
    show
        Takes the driver and each message of a worker.
    """
    from study.engine.execution import execute
    from study.tracking.tracker import Tracker

    places, prepared = open_store(store), runner.prepare(study)
    frames = {dataset.content: dataset.sent for dataset in prepared.datasets.values()}
    with Ledger.open(places.ledger, study.name) as ledger, connected(address, shared_bytes=0):
        ledger.register(study, prepared.trials)
        points, trials = runner._search(prepared, ledger)
        driver = Driver(study, trials, store=places, ledger=ledger, tracker=Tracker(places, study))
        driver.begin(points)
        driver.show = lambda fingerprint, message: show(driver, message)
        driver.connect(prepared.datasets, Slots(study.resources, lambda run: 0))
        for dataset in prepared.datasets.values():
            dataset.release()
        execute(driver, frames)
        driver.settle()
