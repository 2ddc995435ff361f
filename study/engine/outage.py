"""Storage that fails for a while, because it is full, read-only or away: work waits, and is then done again."""

import errno
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from study.errors import StoreError

_Result = TypeVar("_Result")

#: How long storage may fail at a stretch.
PATIENCE_S = 600.0
_SHORTEST_WAIT_S = 0.5
_LONGEST_WAIT_S = 15.0

#: What a file system says that is full, read-only, or away; all else (no such file, no permission) will not pass.
_PASSING = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENOTCONN,
        errno.ENXIO,
    }
)
#: The same in SQLite's words; and somebody else is at the file, a backup perhaps.
_PASSING_SQLITE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }
)
#: Free space that is asked for where no checkpoint tells how large the next one will be.
_LEAST_BYTES = 1024**2


class StorageOutage(StoreError):
    """Storage that has failed for too long."""


def is_outage(error: BaseException) -> bool:
    """Return whether an error, or what caused it, says that storage fails for a while."""
    if isinstance(error, sqlite3.Error):
        # The lower byte is the kind; the upper ones tell details.
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING_SQLITE
    if isinstance(error, OSError):
        return error.errno in _PASSING
    return error.__cause__ is not None and is_outage(error.__cause__)


def outlast(
    work: Callable[[], _Result],
    *,
    ready: Callable[[], None] = lambda: None,
    waiting: Callable[[str], None] = lambda reason: None,
    patience_s: float = PATIENCE_S,
) -> _Result:
    """Do some work; where storage fails, wait and do it again.

    Parameters
    ----------
    work
        Can be begun anew.
    ready
        Raises as storage does while `work` would fail again; cheaper than to try.
    waiting
        Takes the reason when a wait begins.
    patience_s
        How long to wait at a stretch.

    Raises
    ------
    StorageOutage
        If storage still fails after that time.
    """
    waited = 0.0
    while True:
        began = time.monotonic()
        try:
            return work()
        except Exception as error:  # any work may meet it; what is no outage is raised again
            if not is_outage(error):
                raise
            # What ran longer than anybody waits has got on: the next outage is another one.
            waited = 0.0 if time.monotonic() - began > patience_s else waited
            reason = str(error)
        if not waited:
            waiting(reason)
        waited = _wait(ready, waited, reason, patience_s)


def _wait(ready: Callable[[], None], waited: float, reason: str, patience_s: float) -> float:
    """Wait until storage is ready; return for how long has been waited in all."""
    while waited < patience_s:
        wait_s = min(max(_SHORTEST_WAIT_S, waited), _LONGEST_WAIT_S)
        time.sleep(wait_s)  # storage does not tell when it is back
        waited += wait_s
        try:
            ready()
        except Exception as error:  # any work may meet it; what is no outage is raised again
            if not is_outage(error):
                raise
        else:
            return waited
    raise StorageOutage(f"storage has failed for {waited:.0f} s: {reason}")


def check_room(folder: Path) -> None:
    """Raise `OSError` where checkpoints like those in `folder` could not be written there again."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    probe = folder / f".probe-{os.getpid()}.unfinished"
    try:
        with probe.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(needed, _LEAST_BYTES))
    finally:
        probe.unlink(missing_ok=True)
