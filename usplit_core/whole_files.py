"""Small files that are there whole or not at all, whatever ends the process or the machine that writes them."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def remove_unfinished_writes(folder: Path) -> None:
    """Delete what writers that were killed left half-written in `folder`."""
    for path in folder.glob(".*.unfinished"):
        path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the content of a file; None where there is none, or a machine that lost its power left half of it."""
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under another name and rename it."""
    with replacing(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file that takes the place of `path` if all goes well, and vanishes if not."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.unfinished")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            # The new name must not reach the disk before the bytes do.
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
