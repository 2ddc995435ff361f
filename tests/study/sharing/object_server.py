"""An S3-compatible server on this machine, reached through a door that a test can close."""

import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUCKET = "studies"
_READY_S = 60.0


class Door:
    """Hands every connection on to a port, unless it is closed: then connections are refused and broken."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._guard = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.open()

    def open(self) -> None:
        """Let connections through."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Break all connections and refuse new ones."""
        if self._listener is not None:
            # Only this wakes the thread that waits for connections.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._guard:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                outside, _ = listener.accept()
                threading.Thread(target=self._pass_on, args=(outside,), daemon=True).start()

    def _pass_on(self, outside: socket.socket) -> None:
        with outside, suppress(OSError), socket.create_connection(("127.0.0.1", self._behind)) as inside:
            with self._guard:
                self._connections |= {outside, inside}
            with selectors.DefaultSelector() as ready:
                ready.register(outside, selectors.EVENT_READ, inside)
                ready.register(inside, selectors.EVENT_READ, outside)
                while all(self._move(key) for key, _ in ready.select()):
                    pass
        with self._guard:
            self._connections.discard(outside)

    def _move(self, key: selectors.SelectorKey) -> bool:
        source = key.fileobj
        assert isinstance(source, socket.socket)
        data = source.recv(1 << 16)
        key.data.sendall(data)
        return bool(data)


class ObjectServer:
    """The server, its door, and a bucket.

    Attributes
    ----------
    address
        Of a place in the bucket, for ``--shared``.
    environment
        What every process needs that uses it: the endpoint and keys.
    """

    def __init__(self, port: int, keys: dict[str, str]) -> None:
        self.door = Door(port)
        self.address = f"s3://{BUCKET}/group"
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.door.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            **keys,
        }

    def manifests(self, objects: dict[str, bytes]) -> dict[str, dict[str, object]]:
        """Return the manifests among objects, by fingerprint."""
        found = {key: data for key, data in objects.items() if key.endswith("/current.json")}
        return {key.split("/")[-2]: json.loads(data) for key, data in found.items()}


@contextmanager
def object_server(log: Path, **keys: str) -> Iterator[ObjectServer]:
    """Run a server with a bucket for the time of a block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=output,
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        )
    try:
        _wait_for(port, process)
        _make_bucket(port)
        server = ObjectServer(port, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", **keys})
        yield server
        server.door.close()
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)  # it tells nobody when it is ready
        else:
            return


def _make_bucket(port: int) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
    urllib.request.urlopen(request, timeout=_READY_S).close()
