"""A PostgreSQL server on loopback with an empty database, for as long as a test lasts."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Names another server, such as postgresql+pg8000://user:password@127.0.0.1/mlflow.
ADDRESS = "USPLIT_POSTGRES"
_USER = "postgres"


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the address of an empty database; skips the test where PostgreSQL is not installed."""
    given = os.environ.get(ADDRESS)
    if given:
        yield given
        return
    programs = _programs()
    # Of its own, and not below pytest's folder: that one is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="usplit-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = folder / "data"
        _run(folder, programs / "initdb", "-D", data, "--auth=trust", f"--username={_USER}", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        _run(folder, programs / "pg_ctl", "start", "-w", "-D", data, "-l", folder / "log", "-o", options)
        try:
            yield f"postgresql+pg8000://{_USER}@127.0.0.1:{port}/postgres"
        finally:
            _run(folder, programs / "pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    """Return the folder of the newest installed server's programs; Debian keeps them out of the search path."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    usable = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    if not usable:
        pytest.skip(f"no PostgreSQL: install it (Debian: postgresql), or name a server in {ADDRESS}")
    return usable[-1]


def _version(folder: Path) -> float:
    return float(folder.parent.name)


def _run(folder: Path, *command: object) -> None:
    # PostgreSQL refuses to run as root; Debian's package brings the user.
    lead = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []
    words = [*lead, *(str(word) for word in command)]
    # Its output goes to a file: the server would keep a pipe open for as long as it runs.
    with (folder / "programs.log").open("ab") as log:
        done = subprocess.run(words, cwd=folder, stdout=log, stderr=log, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{words} failed: {(folder / 'programs.log').read_text()}")
