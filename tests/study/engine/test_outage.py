"""Storage that fails for a while delays work and spoils none."""

import errno
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from study.engine.ledger_file import transaction
from study.engine.outage import StorageOutage, check_room, is_outage, outlast
from usplit_core.errors import OutputError

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the waits, none of which takes any time."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def failing(errors: list[Exception]) -> Callable[[], str]:
    """Return work that fails with these errors, one a call, and then succeeds."""

    def work() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    return work


def test_work_is_done_again_when_there_is_room(waits: list[float]) -> None:
    reasons: list[str] = []
    ready = failing([FULL, FULL])
    assert outlast(failing([FULL]), ready=lambda: (ready(), None)[1], waiting=reasons.append) == "done"
    assert reasons == [str(FULL)]
    assert len(waits) == 3
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone"), PermissionError(errno.EACCES, "not yours"), ValueError("bad")]
)
def test_what_will_not_pass_is_raised_at_once(error: Exception, waits: list[float]) -> None:
    with pytest.raises(type(error)):
        outlast(failing([error]))
    assert waits == []


def test_patience_ends_with_the_reason(waits: list[float]) -> None:
    with pytest.raises(StorageOutage, match="No space left"):
        outlast(failing([FULL] * 1000), patience_s=60)
    assert 60 <= sum(waits) < 90


def test_room_that_does_not_suffice_for_the_work_ends_patience_too(waits: list[float]) -> None:
    with pytest.raises(StorageOutage):
        outlast(failing([FULL] * 1000), ready=lambda: None, patience_s=60)


def test_an_error_is_known_by_its_cause() -> None:
    error = OutputError("the file cannot be written")
    error.__cause__ = OSError(errno.EROFS, "Read-only file system")
    assert is_outage(error)
    error.__cause__ = IsADirectoryError(errno.EISDIR, "a directory")
    assert not is_outage(error)


def test_room_is_asked_for_as_much_as_the_checkpoints_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", lambda file, start, size: asked.append(size))
    (tmp_path / "last.safetensors").write_bytes(bytes(3 * 1024**2))
    (tmp_path / "best.safetensors").write_bytes(bytes(2 * 1024**2))
    check_room(tmp_path)
    assert asked == [5 * 1024**2]
    assert {path.name for path in tmp_path.iterdir()} == {"last.safetensors", "best.safetensors"}


def test_a_transaction_that_storage_undid_is_run_again_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    connection.execute("CREATE TABLE notes (text TEXT)")
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    rolled_back: list[bool] = []

    def make_room(seconds: float) -> None:
        rolled_back.append(not connection.in_transaction)
        connection.execute("PRAGMA max_page_count = 1000")

    monkeypatch.setattr(time, "sleep", make_room)
    with transaction(connection) as run:
        run("INSERT INTO notes VALUES ('first')")
        run("INSERT INTO notes VALUES (?)", ("second" * 10_000,))
        run("INSERT INTO notes VALUES ('third')")
    assert rolled_back == [True]
    found = [row[0][:6] for row in connection.execute("SELECT text FROM notes ORDER BY rowid")]
    assert found == ["first", "second", "third"]
    connection.close()


def test_a_ledger_that_somebody_else_has_locked_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.sqlite"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection,
    ):
        connection.execute("CREATE TABLE notes (text TEXT)")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(time, "sleep", lambda seconds: other.execute("ROLLBACK"))
        insert(connection, "notes")
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (1,)


def insert(connection: sqlite3.Connection, *tables: str) -> None:
    with transaction(connection) as run:
        for table in tables:
            run(f"INSERT INTO {table} VALUES (1)")


def test_a_mistake_undoes_the_transaction_and_is_raised(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    connection.execute("CREATE TABLE notes (text TEXT)")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        insert(connection, "notes", "missing")
    assert connection.execute("SELECT count(*) FROM notes").fetchone()[0] == 0
    connection.close()
