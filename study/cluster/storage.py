"""Is the store one folder that every node reads and writes? Asked with a nonce, never assumed.

The driver writes a random text into the store; each node must find it there and write an answer
beside it that only that text and its own name give; the driver must find the answers. Ray itself
would notice a folder that is not shared only after a first epoch has been paid for.
"""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from study.errors import StoreError

#: How long a network file system may take until one node sees what another has written.
_PATIENCE_S = 10.0
_PROBE_BYTES = 4 * 1024**2


class Nonce(NamedTuple):
    """A question in the store: the folder where it lies, within the store, and its text."""

    folder: str
    text: str


class StoreView(NamedTuple):
    """The store as one node sees it.

    Attributes
    ----------
    problem
        What is wrong, empty if nothing is.
    free_bytes
        Free space of the store's file system.
    megabytes_per_second
        Speed of one write that waits for the disk.
    """

    problem: str
    free_bytes: int = 0
    megabytes_per_second: float = 0.0


def refuse_object_store(path: Path) -> None:
    """Refuse a store that is an address and no folder.

    Raises
    ------
    StoreError
        For ``s3://…`` and the like.
    """
    # A Path has already folded the two slashes into one.
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/", str(path))
    if scheme:
        raise StoreError(
            f"--store {path}: a store is a folder, which {scheme[1]} is not: trial folders are locked and renamed, and "
            "object stores cannot do that. Use a folder that all nodes mount, such as NFS; files for the dashboard "
            "may go to an object store behind a tracking server, see docs/cluster.md"
        )


@contextmanager
def asked(root: Path) -> Iterator[Nonce]:
    """Put a nonce into the store at `root` for the time of a block."""
    nonce = Nonce(f".check-{secrets.token_hex(8)}", secrets.token_hex(32))
    folder = root / nonce.folder
    folder.mkdir()
    try:
        _write(folder / "question", nonce.text.encode())
        yield nonce
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def answer(root: Path, folder: str, node: str) -> StoreView:
    """Look for the nonce and answer it; runs on each node.

    Parameters
    ----------
    root
        The store, under the driver's name for it.
    folder
        Where the nonce lies in it.
    node
        Name of the answer, which is Ray's name of the node.
    """
    if not root.is_dir():
        return StoreView("there is no such folder")
    question = root / folder / "question"
    deadline = time.monotonic() + _PATIENCE_S
    while not question.exists():
        if time.monotonic() > deadline:
            return StoreView("it is another folder there: what the driver wrote is not in it")
        time.sleep(0.2)  # network file systems show new files late, and nothing tells when
    try:
        _write(question.with_name(node), _digest(question.read_text(), node))
        speed = _write_speed(question.with_name(f"{node}.probe"))
    except OSError as error:
        return StoreView(f"it cannot be read and written ({error.strerror})")
    return StoreView("", shutil.disk_usage(root).free, speed)


def unanswered(root: Path, nonce: Nonce, nodes: Iterable[str]) -> set[str]:
    """Return the nodes whose answer has not arrived in the store; waits for late ones."""
    missing = set(nodes)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        missing -= {node for node in missing if _has_answered(root / nonce.folder / node, nonce.text, node)}
        if not missing or time.monotonic() > deadline:
            return missing
        time.sleep(0.2)  # as above


def _has_answered(path: Path, text: str, node: str) -> bool:
    return path.exists() and path.read_bytes() == _digest(text, node)


def _digest(text: str, node: str) -> bytes:
    return hashlib.blake2b(f"{text} {node}".encode()).hexdigest().encode()


def _write(path: Path, content: bytes) -> None:
    """Write as trials write: under another name, then renamed, so that it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _write_speed(path: Path) -> float:
    started = time.monotonic()
    _write(path, bytes(_PROBE_BYTES))
    path.unlink()
    return _PROBE_BYTES / 1e6 / max(time.monotonic() - started, 1e-6)
