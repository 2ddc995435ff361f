"""Nodes, workers, the driver and the storage fail under a study: every trial is finished once, nothing is left open."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.study.cluster.ray_nodes import Nodes, can_hide_folders
from tests.study.cluster.runs import TRIALS, Run, check_counts, open_leases

pytestmark = pytest.mark.multinode


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Return a cluster of a head and one worker node, which all tests share."""
    with Nodes() as started:
        started.add("first")
        yield started


@pytest.fixture
def run(nodes: Nodes, space: Path, tmp_path: Path) -> Iterator[Run]:
    """Return a study that has just been started."""
    started = Run(nodes, space, tmp_path / "store")
    yield started
    started.kill()


def test_a_killed_worker_costs_one_epoch_at_most_and_a_killed_driver_nothing(nodes: Nodes, run: Run) -> None:
    run.wait_for("epoch", 4)
    for worker in nodes.workers("first"):
        os.kill(worker, signal.SIGKILL)
    run.wait_for("epoch", len(run.messages("epoch")) + 4)
    run.kill()
    assert open_leases(run.store) >= 1

    run.start()
    run.finish()
    check_counts(run.store)
    # Each of the two faults has begun one trial again.
    assert len(run.messages("started")) == TRIALS + 2
    assert run.repeated_epochs() <= 2


def test_a_node_that_joins_takes_trials_which_go_on_elsewhere_when_it_is_lost(nodes: Nodes, run: Run) -> None:
    run.wait_for("epoch", 1)
    nodes.add("second")
    while run.is_alive() and not nodes.workers("second"):
        time.sleep(0.05)  # Ray gives a node trials when it likes
    assert run.is_alive()
    run.wait_for("epoch", len(run.messages("epoch")) + 2)
    os.kill(nodes.raylet("second"), signal.SIGKILL)
    run.finish()
    check_counts(run.store)


@contextmanager
def slowed_down(nodes: Nodes, name: str) -> Iterator[None]:
    """Let the workers of a node run for a tenth of the time."""
    over = threading.Event()

    def send(number: signal.Signals) -> None:
        for worker in nodes.workers(name):
            os.kill(worker, number)

    def hold_up() -> None:
        while not over.is_set():
            send(signal.SIGSTOP)
            over.wait(0.45)
            send(signal.SIGCONT)
            over.wait(0.05)

    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_the_other_nodes_take_the_work_of_a_slow_one(nodes: Nodes, space: Path, tmp_path: Path) -> None:
    nodes.add("slow")
    run = Run(nodes, space, tmp_path / "store")
    while run.is_alive() and len(run.trials_by_process()) < 2:
        time.sleep(0.05)  # Ray gives a node trials when it likes
    with slowed_down(nodes, "slow"):
        run.finish()
    nodes.kill("slow")
    check_counts(run.store)
    assert max(run.trials_by_process().values()) >= TRIALS - 1


@pytest.mark.skipif(not can_hide_folders(), reason="needs the right to mount")
def test_trials_wait_while_the_storage_is_full(nodes: Nodes, space: Path, tmp_path: Path) -> None:
    with small_storage(tmp_path / "store") as store:
        run = Run(nodes, space, store)
        run.wait_for("epoch", 3)
        fill(store / "filler")
        before = len(run.messages("epoch"))
        time.sleep(12)  # the outage
        assert run.is_alive()
        assert len(run.messages("epoch")) <= before + 1
        (store / "filler").unlink()
        output = run.finish()
        check_counts(store)
        assert len(run.messages("started")) == TRIALS
        assert run.repeated_epochs() <= 1
        assert "No space left" in output or "disk is full" in output


@contextmanager
def small_storage(folder: Path) -> Iterator[Path]:
    """Return a folder on a file system of its own that is soon full."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1100m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take all space that there is: nothing can be written then, however small."""
    with path.open("wb") as file:
        while free := os.statvfs(path).f_bavail * os.statvfs(path).f_frsize:
            with suppress(OSError):  # others write meanwhile
                os.posix_fallocate(file.fileno(), path.stat().st_size, free)


def doctor(nodes: Nodes, store: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "study", "doctor", "--address", nodes.address, "--store", str(store)]
    environment = {**nodes.environment, "COLUMNS": "200", **environment}
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
    nodes.kill("apart")
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
    done = doctor(nodes, tmp_path, RAY_AUTH_TOKEN="0" * 64)
    assert done.returncode == 2
    assert "does not let this command in" in done.stdout
    assert "0" * 64 not in done.stdout + done.stderr


def test_a_study_whose_head_is_lost_says_so_and_goes_on_with_a_new_one(nodes: Nodes, run: Run) -> None:
    run.wait_for("epoch", 4)
    nodes.kill("head")
    code, output = run.wait()
    assert code == 2, output
    assert output.count("is lost") == 1
    assert "Traceback" not in output

    with Nodes() as others:
        others.add("first")
        run.start(others)
        run.finish()
    check_counts(run.store)
