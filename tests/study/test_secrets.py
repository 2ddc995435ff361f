"""What the environment holds in confidence is neither written nor shown."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_NAMES = (
    "RAY_AUTH_TOKEN",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "POSTGRES_PASSWORD",
)


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Return a place for Ray's sessions and their logs; sockets need a short path."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def command_lines() -> bytes:
    """Return the process list of this machine."""
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes() + b"\n"
        except OSError:  # it has ended
            continue
    return found


def holders(folder: Path, secret: str) -> list[str]:
    """Return the files that hold a text."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if secret.encode() in path.read_bytes()]


def test_secrets_of_the_environment_stay_there(space: Path, tmp_path: Path, ray_folder: Path) -> None:
    held = {name: secrets.token_hex(32) for name in _NAMES}
    environment = {**os.environ, **held, "RAY_AUTH_MODE": "token", "RAY_TMPDIR": str(ray_folder)}
    store = tmp_path / "store"
    words = ["--store", str(store), "--set", "replicates=1", "--set", "tiling.mode=inner"]
    process = subprocess.Popen(
        [sys.executable, "-m", "study", "run", str(space), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    listed = b""
    while process.poll() is None:
        listed += command_lines()
        time.sleep(0.5)  # processes come and go; nothing tells
    output = process.communicate()[0]
    assert process.returncode == 0, output

    assert b"ray::" in listed
    assert (store / "mlflow.db").exists()
    assert list(ray_folder.rglob("*.log"))
    for name, secret in held.items():
        assert secret not in output, name
        assert secret.encode() not in listed, name
        assert holders(tmp_path, secret) == [], name
        assert holders(ray_folder, secret) == [], name
