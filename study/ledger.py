"""What must run and what became of it: one SQLite file, written by the driver alone.

States of a trial: pending (must run), leased (a worker has it), finished, failed. A lease that
outlives its driver is void: `Ledger.open` makes such trials pending again.
"""

import fcntl
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from study.design import PlannedTrial
from study.errors import StoreError
from study.spec import Study
from usplit_core.settings import to_json

State = Literal["pending", "leased", "finished", "failed"]

#: Raised when the tables change; a store of a newer version is refused.
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS studies (
    name TEXT PRIMARY KEY, description TEXT NOT NULL, created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS trials (
    fingerprint TEXT PRIMARY KEY, cell TEXT NOT NULL, run TEXT NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS study_trials (
    study TEXT NOT NULL REFERENCES studies (name), fingerprint TEXT NOT NULL REFERENCES trials (fingerprint),
    position INTEGER NOT NULL, label TEXT NOT NULL, PRIMARY KEY (study, fingerprint)
);
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL REFERENCES trials (fingerprint),
    started REAL NOT NULL, ended REAL, outcome TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS evaluations (
    fingerprint TEXT NOT NULL REFERENCES trials (fingerprint), key TEXT NOT NULL,
    tiling TEXT NOT NULL, metrics TEXT, PRIMARY KEY (fingerprint, key)
);
CREATE TABLE IF NOT EXISTS study_evaluations (
    study TEXT NOT NULL REFERENCES studies (name), fingerprint TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (study, fingerprint, key)
);
"""


class TrialStatus(NamedTuple):
    """What the ledger knows of one trial of a study."""

    fingerprint: str
    label: str
    state: State
    reason: str
    evaluations_done: int
    evaluations_planned: int

    @property
    def is_open(self) -> bool:
        """Whether something of this trial is still to be computed."""
        return self.state != "finished" or self.evaluations_done < self.evaluations_planned


class Ledger:
    """The open ledger of a store; use `Ledger.open`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["Ledger"]:
        """Open the ledger at `path`, or make it, as its only writer.

        Raises
        ------
        StoreError
            If another driver has it open, or a newer version wrote it.
        """
        with _only_writer(path), closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as connection:
            _migrate(connection, path)
            ledger = cls(connection)
            ledger.release_leases("the driver ended")
            yield ledger

    def register(self, study: Study, trials: Sequence[PlannedTrial]) -> None:
        """Note what a study wants; what another study has already computed is taken over as it is."""
        with self._transaction() as run:
            run(
                "INSERT INTO studies VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET description = excluded.description",
                (study.name, json.dumps(study.describe()), time.time()),
            )
            run("DELETE FROM study_trials WHERE study = ?", (study.name,))
            run("DELETE FROM study_evaluations WHERE study = ?", (study.name,))
            for position, trial in enumerate(trials):
                self._register_trial(study.name, position, trial)

    def _register_trial(self, study: str, position: int, trial: PlannedTrial) -> None:
        run = self._connection.execute
        identity = trial.fingerprint
        run(
            "INSERT OR IGNORE INTO trials (fingerprint, cell, run, state) VALUES (?, ?, ?, 'pending')",
            (identity, trial.cell, to_json(trial.run)),
        )
        # Asked for again, a failed trial gets a new chance.
        run("UPDATE trials SET state = 'pending', reason = '' WHERE fingerprint = ? AND state = 'failed'", (identity,))
        run("INSERT INTO study_trials VALUES (?, ?, ?, ?)", (study, identity, position, trial.label))
        for key, tiling in zip(trial.evaluation_keys, trial.tilings, strict=True):
            run(
                "INSERT OR IGNORE INTO evaluations (fingerprint, key, tiling) VALUES (?, ?, ?)",
                (identity, key, tiling.model_dump_json()),
            )
            run("INSERT INTO study_evaluations VALUES (?, ?, ?)", (study, identity, key))

    def forget(self, fingerprints: Sequence[str]) -> None:
        """Make trials pending as if they had never run."""
        with self._transaction() as run:
            for identity in fingerprints:
                run("UPDATE trials SET state = 'pending', reason = '' WHERE fingerprint = ?", (identity,))
                run("UPDATE evaluations SET metrics = NULL WHERE fingerprint = ?", (identity,))

    def description(self, study: str) -> dict[str, Any] | None:
        """Return what `Study.describe` gave when the study was last registered, or None."""
        row = self._connection.execute("SELECT description FROM studies WHERE name = ?", (study,)).fetchone()
        return json.loads(row[0]) if row else None

    def lease(self, fingerprint: str) -> int:
        """Hand a trial to a worker; return the attempt's number."""
        with self._transaction() as run:
            run("UPDATE trials SET state = 'leased' WHERE fingerprint = ?", (fingerprint,))
            cursor = run("INSERT INTO attempts (fingerprint, started) VALUES (?, ?)", (fingerprint, time.time()))
        return int(cursor.lastrowid)

    def close_attempt(self, fingerprint: str, state: State, *, outcome: str, reason: str = "") -> None:
        """Note how the running attempt at a trial ended."""
        with self._transaction() as run:
            run("UPDATE trials SET state = ?, reason = ? WHERE fingerprint = ?", (state, reason, fingerprint))
            run(
                "UPDATE attempts SET ended = ?, outcome = ?, reason = ? WHERE fingerprint = ? AND ended IS NULL",
                (time.time(), outcome, reason, fingerprint),
            )

    def release_leases(self, reason: str) -> bool:
        """Make trials that workers have pending again; return whether there were any."""
        with self._transaction() as run:
            released = run("UPDATE trials SET state = 'pending' WHERE state = 'leased'").rowcount
            run(
                "UPDATE attempts SET ended = ?, outcome = 'lost', reason = ? WHERE ended IS NULL",
                (time.time(), reason),
            )
        return bool(released)

    def store_evaluation(self, fingerprint: str, key: str, metrics: dict[str, float]) -> None:
        """Note the scores of one evaluation."""
        with self._transaction() as run:
            run(
                "UPDATE evaluations SET metrics = ? WHERE fingerprint = ? AND key = ?",
                (json.dumps(metrics), fingerprint, key),
            )

    def evaluation_metrics(self, fingerprint: str, key: str) -> dict[str, float] | None:
        """Return the scores of one evaluation, or None where there are none yet."""
        row = self._connection.execute(
            "SELECT metrics FROM evaluations WHERE fingerprint = ? AND key = ?", (fingerprint, key)
        ).fetchone()
        return json.loads(row[0]) if row and row[0] else None

    def statuses(self, study: str) -> list[TrialStatus]:
        """Return the trials of a study in their order."""
        rows = self._connection.execute(
            """
            SELECT st.fingerprint, st.label, t.state, t.reason,
                   (SELECT count(*) FROM study_evaluations se JOIN evaluations e USING (fingerprint, key)
                    WHERE se.study = st.study AND se.fingerprint = st.fingerprint AND e.metrics IS NOT NULL),
                   (SELECT count(*) FROM study_evaluations se
                    WHERE se.study = st.study AND se.fingerprint = st.fingerprint)
            FROM study_trials st JOIN trials t USING (fingerprint) WHERE st.study = ? ORDER BY st.position
            """,
            (study,),
        )
        return [TrialStatus(*row) for row in rows]

    def studies(self) -> list[str]:
        """Return the names of all studies, the newest last."""
        return [row[0] for row in self._connection.execute("SELECT name FROM studies ORDER BY created")]

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection.execute
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def read_statuses(path: Path, study: str) -> list[TrialStatus]:
    """Return the trials of a study without becoming the ledger's writer; [] where there is none."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
        return Ledger(connection).statuses(study)


@contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Hold the store's lock: two drivers on one store would each train what the other leases.

    The system releases the lock when the process ends, however it ends.
    """
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"another usplit process is running a study in {path.parent}: wait for it, or use another --store"
            ) from None
        yield


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer version (ledger {version}, this one knows {SCHEMA_VERSION}): "
            "update usplit-study, or use another --store"
        )
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
