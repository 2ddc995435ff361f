"""Is the storage one place that every node reads and writes? Asked with a nonce, never assumed.

The driver writes a random text there; each node must find it and write an answer beside it that only
that text and its own name give; the driver must find the answers. Ray itself would notice a folder
that is not shared, or a node without keys, only after a first epoch has been paid for.
"""

import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from study.errors import StoreError
from study.sharing.objects import Objects, open_objects

#: How long a network file system may take until one node sees what another has written.
_PATIENCE_S = 10.0
_PROBE_BYTES = 4 * 1024**2


class Nonce(NamedTuple):
    """A question in the storage: the folder where it lies there, and its text."""

    folder: str
    text: str


class StoreView(NamedTuple):
    """The storage as one node sees it.

    Attributes
    ----------
    problem
        What is wrong, empty if nothing is.
    free_bytes
        Free space for trials: of the store's file system, or where this node works before it shares.
    megabytes_per_second
        Speed of one write that waits until it is safe.
    """

    problem: str
    free_bytes: int = 0
    megabytes_per_second: float = 0.0


class Storage(Protocol):
    """What nodes share: a folder, or an object store.

    Attributes
    ----------
    elsewhere
        What to say where it is another one at this node.
    """

    elsewhere: str

    def problem(self) -> str:
        """Return why it cannot be looked at, empty if it can."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; it is there whole or not at all."""

    def read(self, name: str) -> bytes | None:
        """Return a file, None where there is none."""

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it."""

    def free_bytes(self) -> int:
        """Return how much room a trial has at this node."""


class SharedFolder:
    """A folder that all nodes mount under the same path."""

    elsewhere = "it is another folder there: what the driver wrote is not in it"

    def __init__(self, root: Path) -> None:
        self._root = root

    def problem(self) -> str:
        return "" if self._root.is_dir() else "there is no such folder"

    def write(self, name: str, content: bytes) -> None:
        """Write as trials write: under another name, then renamed."""
        path = self._root / name
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def read(self, name: str) -> bytes | None:
        path = self._root / name
        return path.read_bytes() if path.exists() else None

    def remove(self, name: str) -> None:
        path = self._root / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._root).free


class SharedObjects:
    """An object store."""

    elsewhere = "it is another object store there: what the driver wrote is not in it"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def problem(self) -> str:
        return ""

    def write(self, name: str, content: bytes) -> None:
        self._objects.write(name, content)

    def read(self, name: str) -> bytes | None:
        found = self._objects.read(name)
        return None if found is None else found.data

    def remove(self, name: str) -> None:
        self._objects.remove([name, *self._objects.keys(name)])

    def free_bytes(self) -> int:
        return shutil.disk_usage(tempfile.gettempdir()).free


def open_storage(address: str) -> Storage:
    """Return what lies at a path, or at the address of an object store.

    Raises
    ------
    StoreError
        If an object store cannot be used from here.
    """
    return SharedObjects(open_objects(address)) if is_object_store(address) else SharedFolder(Path(address))


def is_object_store(address: str) -> bool:
    """Return whether an address is that of an object store, and no path."""
    return "://" in address


@contextmanager
def asked(storage: Storage) -> Iterator[Nonce]:
    """Put a nonce into the storage for the time of a block."""
    nonce = Nonce(f".check-{secrets.token_hex(8)}", secrets.token_hex(32))
    try:
        storage.write(f"{nonce.folder}/question", nonce.text.encode())
        yield nonce
    finally:
        storage.remove(nonce.folder)


def answer(address: str, folder: str, node: str) -> StoreView:
    """Look for the nonce and answer it; runs on each node.

    Parameters
    ----------
    address
        The storage, under the driver's name for it.
    folder
        Where the nonce lies in it.
    node
        Name of the answer, which is Ray's name of the node.
    """
    try:
        return _answer(open_storage(address), folder, node)
    except OSError as error:
        return StoreView(f"it cannot be read and written ({error.strerror})")
    except StoreError as error:
        return StoreView(f"it cannot be read and written ({error})")


def _answer(storage: Storage, folder: str, node: str) -> StoreView:
    problem = storage.problem()
    if problem:
        return StoreView(problem)
    deadline = time.monotonic() + _PATIENCE_S
    while (question := storage.read(f"{folder}/question")) is None:
        if time.monotonic() > deadline:
            return StoreView(storage.elsewhere)
        time.sleep(0.2)  # network file systems show new files late, and nothing tells when
    storage.write(f"{folder}/{node}", _digest(question.decode(), node))
    speed = _write_speed(storage, f"{folder}/{node}.probe")
    return StoreView("", storage.free_bytes(), speed)


def unanswered(storage: Storage, nonce: Nonce, nodes: Iterable[str]) -> set[str]:
    """Return the nodes whose answer has not arrived in the storage; waits for late ones."""
    missing = set(nodes)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        missing -= {node for node in missing if storage.read(f"{nonce.folder}/{node}") == _digest(nonce.text, node)}
        if not missing or time.monotonic() > deadline:
            return missing
        time.sleep(0.2)  # as above


def _digest(text: str, node: str) -> bytes:
    return hashlib.blake2b(f"{text} {node}".encode()).hexdigest().encode()


def _write_speed(storage: Storage, name: str) -> float:
    started = time.monotonic()
    storage.write(name, bytes(_PROBE_BYTES))
    seconds = time.monotonic() - started
    storage.remove(name)
    return _PROBE_BYTES / 1e6 / max(seconds, 1e-6)
