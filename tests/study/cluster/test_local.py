"""Ray that has begun to start while a command still checks is gone with the command, however that ends."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it brings no types
import pytest

pytestmark = pytest.mark.slow

MARK = "USPLIT_TEST_OF_LOCAL_RAY"


@pytest.fixture
def environment() -> dict[str, str]:
    """Return variables by which the command, and all that it starts, is known again."""
    return {**os.environ, MARK: uuid.uuid4().hex}


def start(space: Path, environment: dict[str, str], *settings: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "study", "run", str(space), "--store", str(space.parent / "store"), *settings]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def started_by(environment: dict[str, str]) -> Iterator[str]:
    """Yield the names of processes that carry the mark."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == environment[MARK]:
                yield process.name()
        except psutil.Error:
            continue  # it has just ended


def is_gone(environment: dict[str, str]) -> bool:
    """Return whether all processes have ended; workers see a moment later than others that Ray is no more."""
    deadline = time.monotonic() + 20
    while any(started_by(environment)) and time.monotonic() < deadline:
        time.sleep(0.2)  # nothing tells when they end
    return not any(started_by(environment))


def test_what_is_wrong_is_said_once_and_ray_is_gone(space: Path, environment: dict[str, str]) -> None:
    command = start(space, environment, "--set", "model.patch_px=128")
    _, said = command.communicate(timeout=120)
    assert command.returncode == 2
    assert said.count("error:") == 1
    assert "Traceback" not in said
    assert is_gone(environment)


def test_ray_is_gone_after_an_interruption_while_it_starts(space: Path, environment: dict[str, str]) -> None:
    command = start(space, environment)
    deadline = time.monotonic() + 60
    while "gcs_server" not in started_by(environment):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # nothing tells when it starts
    os.kill(command.pid, signal.SIGINT)
    _, said = command.communicate(timeout=120)
    assert command.returncode == 130
    assert "Traceback" not in said
    assert is_gone(environment)
