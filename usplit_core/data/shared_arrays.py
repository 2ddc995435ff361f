"""Arrays that processes of one machine share: worked out once, kept in a file, mapped into the memory of each.

A file is named by a hash of all that its numbers follow from, so it is never out of date. It is filled by one process
while others wait, and appears whole or not at all. Locks of the system tell who fills or uses a file: they end with
the process, so one that is killed leaves nothing behind that stands in the way. Files that nobody uses are removed by
whoever exits, or needs the room. Without a folder, or where it cannot be written, arrays are a process's own, unless
they belong to images that are larger than memory.
"""

import atexit
import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from usplit_core import NUMERICS_VERSION
from usplit_core.errors import DataError

#: Part of a disk that is left free.
_LEFT_FREE = 0.05
#: Files that nobody uses are kept for so long, for the next trial of a study.
_IDLE_SECONDS = 3600.0

#: Smaller arrays are not worth a file.
_LEAST_BYTES = 2**20

_ASK_AGAIN_SECONDS = 0.05

_WHOLE, _PARTIAL = ".array", ".partial"


class ArrayCache(NamedTuple):
    """Where shared arrays are kept, and what all of them follow from, as JSON-able values.

    `must_map` is for images that memory may not hold: then all arrays are files, or are refused.
    """

    folder: Path
    origin: Mapping[str, Any]
    must_map: bool = False

    def of(self, **more: Any) -> "ArrayCache":
        """Return the cache of what follows from `more`, too."""
        return self._replace(origin={**self.origin, **more})


def private_folder(path: Path) -> Path | None:
    """Return the folder, made if need be; None unless it is this user's own and nobody else can write there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return path if ours else None


def shared_array(
    arrays: ArrayCache | None, shape: tuple[int, ...], dtype: DTypeLike, fill: Callable[[NDArray[Any]], None]
) -> NDArray[Any]:
    """Return an array that is filled once on this machine, and read-only where it is shared.

    Parameters
    ----------
    arrays
        Where, and what decides every number in it; None = in the memory of this process.
    shape, dtype
        Of the array.
    fill
        Writes all of it; called at most once at a time on a machine.

    Returns
    -------
    A `numpy.memmap` if the array is shared, else a plain one.

    Raises
    ------
    DataError
        If the array must be a file, and cannot be one.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if arrays is not None and size >= max(1, _LEAST_BYTES):
        try:
            return _mapped(arrays, shape, dtype, fill)
        except _NoFile as error:
            # Where files cannot be written, locked or mapped, memory is all there is; nothing is lost but sharing.
            if arrays.must_map:
                raise DataError(
                    f"{size / 1e9:.3g} GB of images do not go into memory, nor into {arrays.folder} "
                    f"({error.__cause__}): make room there, or name a folder of a larger local disk in USPLIT_CACHE"
                ) from error
    own = np.empty(shape, dtype)
    fill(own)
    return own


class _NoFile(Exception):
    """An array cannot be kept in a file."""


@contextmanager
def _files() -> Iterator[None]:
    """Turn what the system says about files of the cache into `_NoFile`; what `fill` raises is none of it."""
    try:
        yield
    except OSError as error:
        raise _NoFile from error


def _key(arrays: ArrayCache, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    described = {"of": arrays.origin, "shape": shape, "dtype": dtype.str, "numerics": NUMERICS_VERSION}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def _mapped(
    arrays: ArrayCache, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Callable[[NDArray[Any]], None]
) -> NDArray[Any]:
    folder, key = arrays.folder, _key(arrays, shape, dtype)
    sweep_at_exit(folder)
    whole, partial = folder / f"{key}{_WHOLE}", folder / f"{key}{_PARTIAL}"
    while True:
        known = _open_whole(whole, shape, dtype)
        if known is not None:
            return known
        with _claimed(partial) as file:
            if file is None:  # another process fills it
                time.sleep(_ASK_AGAIN_SECONDS)
                continue
            if whole.exists():  # another process has filled it meanwhile
                partial.unlink()
                continue
            with _files():
                _make_room(file, folder, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
                into = np.memmap(file, dtype, "r+", shape=shape)
            fill(into)
            with _files():
                into.flush()  # a name that outlives a loss of power stands for whole contents
                partial.replace(whole)


def _open_whole(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return the array of a file that is whole, or None if there is none."""
    try:
        with path.open("rb") as file:
            # The mapping keeps this lock for as long as it lives: it tells others that the file is in use.
            fcntl.flock(file, fcntl.LOCK_SH)
            if not _is_at(file, path):
                return None
            with suppress(OSError):
                os.utime(file.fileno())
            return np.memmap(file, dtype, "r", shape=shape)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _NoFile from error


@contextmanager
def _claimed(path: Path) -> Iterator[BinaryIO | None]:
    """Open a file for writing, made if need be; None if another process holds it or has removed it.

    Nobody waits for a lock here: the file is renamed when it is whole, and locked by its users from then on.
    """
    with _files():
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        except OSError as error:
            raise _NoFile from error
        try:
            yield file if _is_at(file, path) else None
        finally:
            # Mappings of the file, which may live a little longer, would keep the lock.
            fcntl.flock(file, fcntl.LOCK_UN)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Say whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _make_room(file: BinaryIO, folder: Path, size: int) -> None:
    """Give a file its size, and the disk blocks for it: a full disk would otherwise end the process that writes.

    Raises
    ------
    OSError
        If there is no room, with the file left empty.
    """
    file.truncate(0)
    remove_unused(folder, idle_seconds=_IDLE_SECONDS)
    if not _has_room(folder, size):
        remove_unused(folder)
    if not _has_room(folder, size):
        raise OSError(f"no room for {size} bytes in {folder}")
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        file.truncate(0)
        raise


def _has_room(folder: Path, size: int) -> bool:
    disk = shutil.disk_usage(folder)
    return disk.free - size >= _LEFT_FREE * disk.total


@cache
def sweep_at_exit(folder: Path) -> None:
    """Let this process, when it ends, remove the arrays in a folder that no other uses."""
    atexit.register(remove_unused, folder)


def remove_unused(folder: Path, *, idle_seconds: float = 0.0) -> None:
    """Remove the arrays in a folder that no process uses, and has not used for some time."""
    for path in (*folder.glob(f"*{_WHOLE}"), *folder.glob(f"*{_PARTIAL}")):
        with suppress(OSError), path.open("rb") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < idle_seconds:
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
