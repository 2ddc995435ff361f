"""The ledger's file: its tables, its version, and the lock that makes one process its writer."""

import fcntl
import math
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from study.engine.outage import is_outage, outlast
from study.errors import StoreError

#: Executes a statement of a transaction with its parameters; returns its cursor.
Run = Callable[..., sqlite3.Cursor]

#: Raised when the tables change; a store of a newer version is refused.
SCHEMA_VERSION = 2

REMEDY_OF_DAMAGE = "move ledger.sqlite away and run the study again: what is in the trial folders is not computed twice"

# New tables only, so far: a ledger of version 1 is brought up to date by making them.
_TABLES = {
    "studies": "name TEXT PRIMARY KEY, description TEXT NOT NULL, created REAL NOT NULL",
    "trials": """
        fingerprint TEXT PRIMARY KEY, cell TEXT NOT NULL, run TEXT NOT NULL,
        state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT ''
    """,
    "study_trials": """
        study TEXT NOT NULL REFERENCES studies (name), fingerprint TEXT NOT NULL REFERENCES trials (fingerprint),
        position INTEGER NOT NULL, label TEXT NOT NULL, PRIMARY KEY (study, fingerprint)
    """,
    "attempts": """
        id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL REFERENCES trials (fingerprint),
        started REAL NOT NULL, ended REAL, outcome TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT ''
    """,
    "attempt_costs": """
        attempt INTEGER PRIMARY KEY REFERENCES attempts (id), devices REAL NOT NULL, steps INTEGER NOT NULL DEFAULT 0
    """,
    "evaluations": """
        fingerprint TEXT NOT NULL REFERENCES trials (fingerprint), key TEXT NOT NULL,
        tiling TEXT NOT NULL, metrics TEXT, PRIMARY KEY (fingerprint, key)
    """,
    "study_evaluations": """
        study TEXT NOT NULL REFERENCES studies (name), fingerprint TEXT NOT NULL, key TEXT NOT NULL,
        PRIMARY KEY (study, fingerprint, key)
    """,
    "points": """
        study TEXT NOT NULL REFERENCES studies (name), number INTEGER NOT NULL, settings TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'open', objectives TEXT, PRIMARY KEY (study, number)
    """,
}


@contextmanager
def open_as_writer(path: Path, study: str) -> Iterator[sqlite3.Connection]:
    """Open the ledger at `path`, or make it, as its only writer, for a study that others can see running.

    Raises
    ------
    StoreError
        If another driver has it open, a newer version wrote it, or it is damaged.
    """
    with _only_writer(path, study), closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as connection:
        with _told(path):
            _migrate(connection, path)
        yield connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[Run]:
    """Run statements all or not at all; where storage fails for a while, wait and run them again.

    Statements do the same again, since nobody else writes.

    Raises
    ------
    StorageOutage
        If storage fails for too long.
    """
    statements: list[tuple[str, Sequence[Any]]] = [("BEGIN IMMEDIATE", ())]

    def run_last() -> sqlite3.Cursor:
        try:
            if not connection.in_transaction:
                for statement in statements[:-1]:
                    connection.execute(*statement)
            return connection.execute(*statements[-1])
        except sqlite3.Error:
            # Where storage fails, SQLite gives up some transactions by itself, and others not.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def run(statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        statements.append((statement, parameters))
        return outlast(run_last, waiting=_say)

    try:
        yield run
        run("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _say(reason: str) -> None:
    sys.stderr.write(f"warning: the ledger cannot be written ({reason}): waiting until it can\n")


@contextmanager
def open_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the ledger at `path` beside its writer; tables that it has not yet are empty.

    Raises
    ------
    StoreError
        If it cannot be read, or a newer version wrote it.
    """
    with _told(path), connect_to_read(path) as connection:
        check_version(connection, path)
        yield connection


@contextmanager
def connect_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the ledger at `path` as `open_to_read` does, and raise what SQLite raises."""
    # A driver that was killed in a transaction leaves a journal, which whoever reads next must roll back: that takes
    # leave to write. Where the file system gives none, SQLite opens the file to read by itself.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5.0)) as connection:
        with _last_write_kept(path):
            there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for name in _TABLES.keys() - there:
            connection.execute(f"CREATE TEMP TABLE {name} ({_TABLES[name]})")
        connection.execute("PRAGMA query_only = 1")
        yield connection


def last_write(path: Path) -> float:
    """Return when a driver last wrote to the ledger: its last sign of life; infinite where there is none."""
    return path.stat().st_mtime if path.exists() else math.inf


@contextmanager
def _last_write_kept(path: Path) -> Iterator[None]:
    """Let a journal be rolled back as if nothing had been written: `last_write` tells of drivers alone."""
    has_journal = path.with_name(f"{path.name}-journal").exists()
    before = path.stat()
    yield
    if has_journal:
        with suppress(OSError):  # only its owner may
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def running_study(path: Path) -> str | None:
    """Return the name of the study whose driver has the ledger open at this moment, or None."""
    lock = _lock_path(path)
    if not lock.exists():
        return None
    with lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()
    return None


@contextmanager
def _only_writer(path: Path, study: str) -> Iterator[None]:
    """Hold the store's lock: two drivers on one store would each train what the other leases.

    The system releases the lock when the process ends, however it ends.
    """
    with _lock_path(path).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"another usplit process is running a study in {path.parent}: wait for it, or use another --store"
            ) from None
        lock.truncate(0)
        lock.write(study)
        lock.flush()
        yield


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a ledger that a newer version wrote.

    Raises
    ------
    StoreError
        With both versions.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer version (ledger {version}, this one knows {SCHEMA_VERSION}): "
            "update usplit-study, or use another --store"
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    check_version(connection, path)
    with transaction(connection) as run:
        for name, columns in _TABLES.items():
            run(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        run(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell what SQLite raises as a `StoreError` with a remedy."""
    try:
        yield
    except sqlite3.Error as error:
        remedy = "run the same command again once its file system works" if is_outage(error) else REMEDY_OF_DAMAGE
        raise StoreError(f"{path} cannot be read ({error}): {remedy}") from error
