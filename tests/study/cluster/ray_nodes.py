"""Real Ray nodes on this machine, each with processes, resources and, if asked for, a file system of its own."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_READY_S = 60.0
#: Runs a command with an empty folder mounted over another one, which only that command sees.
_HIDING = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$1" && shift && exec "$@"', "sh"]


def can_hide_folders() -> bool:
    """Return whether this user may give a process a file system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*_HIDING, folder, "true"], capture_output=True, check=False)
    return done.returncode == 0


class Nodes:
    """Nodes that are started and killed one by one; all end with the block.

    Attributes
    ----------
    address
        HOST:PORT of the head, which has no cores, so every trial runs on a worker node.
    environment
        For commands that use the cluster, and of all nodes: it holds the token.
    folder
        Of Ray's sessions and their logs.
    """

    def __init__(self, **environment: str) -> None:
        # A short path: the names of sockets may not be longer than some hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ray"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        root = Path(__file__).resolve().parents[3]
        self.environment = {**os.environ, **token, **environment, "PYTHONPATH": str(root)}
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Nodes":
        port = self.address.rpartition(":")[2]
        self._start(
            "head",
            ["--head", f"--port={port}", f"--temp-dir={self.folder}", "--num-cpus=0", "--include-dashboard=false"],
            [],
        )
        return self

    def __exit__(self, *error: object) -> None:
        for name in list(self._nodes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, name: str, *, hidden: Path | None = None, options: tuple[str, ...] = ()) -> None:
        """Start a worker node with one core; `hidden` is a folder that it sees empty."""
        prefix = [] if hidden is None else [*_HIDING, str(hidden)]
        self._start(name, [f"--address={self.address}", "--num-cpus=1", *options], prefix)

    def kill(self, name: str) -> None:
        """Kill all processes of a node, and with the head the cluster."""
        process = self._nodes.pop(name)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        process.wait(30)

    def raylet(self, name: str) -> int:
        """Return the process that is a node to Ray."""
        return next(pid for pid in _children(self._nodes[name].pid) if _command(pid).endswith("/raylet"))

    def workers(self, name: str) -> set[int]:
        """Return the processes that train at a node at this moment."""
        return {pid for pid in _children(self.raylet(name)) if _command(pid).startswith("ray::ImplicitFunc")}

    def _start(self, name: str, arguments: list[str], prefix: list[str]) -> None:
        options = ["--block", f"--object-store-memory={80 * 1024**2}"]
        command = [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", *arguments, *options]
        text = self.folder / f"{name}.log"
        with text.open("wb") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )
        self._nodes[name] = process
        deadline = time.monotonic() + _READY_S
        while b"Ray runtime started" not in text.read_bytes():
            assert process.poll() is None, text.read_text()
            assert time.monotonic() < deadline, text.read_text()
            time.sleep(0.2)  # Ray says it in the log alone


def _parent(pid: int) -> int:
    """Return the parent of a process, 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _children(pid: int) -> list[int]:
    processes = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [process for process in processes if _parent(process) == pid]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""
