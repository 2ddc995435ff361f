"""Nodes that share nothing but an object store: every trial is finished once, nothing is lost and nothing left over."""

import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.engine.ledger import read_statuses
from study.sharing.objects import Objects, open_objects
from tests.study.cluster.ray_nodes import Nodes, can_hide_folders
from tests.study.cluster.runs import TRIALS, Run, check_counts, open_leases
from tests.study.sharing.object_server import ObjectServer, object_server
from tests.study.sharing.shared_folders import left_over
from tests.study.test_interruption import scores
from tests.study.test_run import count_runs
from tests.study.test_secrets import command_lines, holders

pytestmark = [
    pytest.mark.multinode,
    pytest.mark.skipif(not can_hide_folders(), reason="needs the right to mount"),
]

KEYS = {"AWS_ACCESS_KEY_ID": secrets.token_hex(10), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(32)}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with object_server(tmp_path / "server.log", **KEYS) as started:
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        open_objects.cache_clear()
        yield started
    open_objects.cache_clear()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a folder that only the driver has."""
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def nodes(server: ObjectServer, store: Path) -> Iterator[Nodes]:
    with Nodes(**server.environment) as started:
        for name in ("first", "second"):
            started.add(name, hidden=store)
        yield started


def test_a_study_survives_a_dead_worker_an_outage_a_dead_driver_and_the_loss_of_its_folder(
    server: ObjectServer, nodes: Nodes, space: Path, store: Path
) -> None:
    shared = ("--shared", server.address)
    run = Run(nodes, space, store, *shared)
    run.wait_for("epoch", 4)
    for worker in nodes.workers("first"):
        os.kill(worker, signal.SIGKILL)
    listed = command_lines()
    run.wait_for("epoch", len(run.messages("epoch")) + 3)
    server.door.close()
    run.wait_for("waiting", 1)
    time.sleep(3)  # the outage
    server.door.open()
    run.wait_for("epoch", len(run.messages("epoch")) + 3)
    run.kill()
    assert open_leases(store) >= 1

    run = Run(nodes, space, store)  # it remembers how it is shared
    output = run.finish()
    check_counts(store, unheard=2)
    check_bucket(open_objects(server.address))
    before = scores(store)

    shutil.rmtree(store)
    store.mkdir()
    output += Run(nodes, space, store, *shared).finish()
    assert "Everything had been computed" in output
    assert scores(store) == before
    statuses = read_statuses(store / "ledger.sqlite", "small")
    assert [(status.state, status.evaluations_done) for status in statuses] == [("finished", 1)] * TRIALS
    assert count_runs(store) == {"trial": TRIALS, "evaluation": TRIALS, "cell": 2}

    for secret in KEYS.values():
        assert secret not in output
        assert secret.encode() not in listed + command_lines()
        assert holders(store, secret) == []
        assert holders(nodes.folder, secret) == []


def check_bucket(objects: Objects) -> None:
    """One sealed manifest a trial, and nothing that none of them names."""
    assert sum(key.endswith("/current.json") for key in objects.keys("trials")) == TRIALS
    assert left_over(objects) == set()
    assert objects.keys("check") == []
