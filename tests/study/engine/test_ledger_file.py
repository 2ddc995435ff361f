"""The ledger's file can be opened again, however its driver ended."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from study.engine.ledger import Ledger, read_known, read_spent, read_statuses
from study.engine.ledger_file import SCHEMA_VERSION, last_write
from study.errors import StoreError
from study.planning.design import plan_trials
from tests.study.test_spec import make_study

STUDY = make_study()
TRIALS = plan_trials(STUDY, lambda data: "content")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a ledger at rest that knows the trials of a study."""
    path = tmp_path / "100%?" / "ledger.sqlite"  # a folder whose name means something in an address
    path.parent.mkdir()
    with Ledger.open(path) as ledger:
        ledger.register(STUDY, TRIALS)
    return path


@pytest.fixture
def killed(path: Path, tmp_path: Path) -> Path:
    """Return a ledger as a driver leaves it that is killed in a transaction, which has written to the file already."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        for number in range(1000):
            connection.execute("INSERT INTO studies VALUES (?, ?, 0)", (f"study {number}", "long" * 100))
        shutil.copytree(path.parent, tmp_path / "killed")
    return tmp_path / "killed" / path.name


def test_a_ledger_whose_driver_was_killed_in_a_transaction_is_read(killed: Path) -> None:
    assert killed.with_name("ledger.sqlite-journal").stat().st_size > 0
    states, evaluations = read_known(killed)
    assert states == {trial.fingerprint: "pending" for trial in TRIALS}
    assert evaluations == set()
    with Ledger.open(killed) as ledger:
        assert ledger.description(STUDY.name) is not None


def test_reading_what_a_killed_driver_left_is_no_sign_of_its_life(killed: Path) -> None:
    os.utime(killed, (0, 5))
    read_known(killed)
    assert last_write(killed) == 5


def test_readers_leave_the_ledger_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    assert len(read_statuses(path, STUDY.name)) == len(TRIALS)
    assert read_spent(path, STUDY.name).trainings == 0
    assert path.read_bytes() == before


def test_a_store_that_may_only_be_read_is_read(path: Path) -> None:
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert len(read_statuses(path, STUDY.name)) == len(TRIALS)
    finally:
        path.parent.chmod(0o755)


@pytest.mark.parametrize("tables", [(), ("studies",)])
def test_a_driver_that_ended_before_its_tables_were_made_leaves_nothing_known(
    tables: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")  # writes the file
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (name TEXT PRIMARY KEY, description TEXT, created REAL)")
    assert read_known(path) == ({}, set())
    assert read_statuses(path, STUDY.name) == []
    assert read_spent(path, STUDY.name).device_hours == 0
    with Ledger.open(path) as ledger:
        ledger.register(STUDY, TRIALS)
    assert len(read_statuses(path, STUDY.name)) == len(TRIALS)


def test_tables_are_made_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setattr("study.engine.ledger_file._TABLES", {"studies": "name TEXT", "trials": "no columns ("})
    with pytest.raises(StoreError), Ledger.open(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_what_an_older_version_did_not_count_is_zero(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE attempt_costs")
        connection.execute("PRAGMA user_version = 1")
    assert read_spent(path, STUDY.name).steps == 0


@pytest.mark.parametrize("read", [lambda path: read_statuses(path, STUDY.name), read_known])
def test_a_damaged_ledger_is_told_with_a_remedy(read: Callable[[Path], object], path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"not a database.*move ledger\.sqlite away"):
        read(path)
    with pytest.raises(StoreError, match=r"move ledger\.sqlite away"), Ledger.open(path):
        pass


def test_readers_refuse_a_newer_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="newer version"):
        read_statuses(path, STUDY.name)
