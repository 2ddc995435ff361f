"""What must run and what became of it: one SQLite file, written by the driver alone.

States of a trial: pending (must run), leased (a worker has it), finished, pruned (stopped early by
the study's rule), failed. A lease that outlives its driver is void: `Ledger.open` makes such trials
pending again.
"""

import json
import math
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from study.engine.ledger_file import Run, last_write, open_as_writer, open_to_read, transaction
from study.engine.sources import PastPoint, Point, PointState
from study.planning.design import PlannedTrial
from study.spec import Study
from study.words.budget import Spent
from usplit_core.settings import to_json

State = Literal["pending", "leased", "finished", "pruned", "failed"]


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
        if self.state == "pruned":
            return False
        return self.state != "finished" or self.evaluations_done < self.evaluations_planned


class Ledger:
    """The open ledger of a store; use `Ledger.open`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, path: Path, study: str = "") -> Iterator["Ledger"]:
        """Open the ledger at `path`, or make it, as its only writer, for a study that others can see running.

        Raises
        ------
        StoreError
            If another driver has it open, a newer version wrote it, or it is damaged.
        """
        died = last_write(path)  # if one was killed
        with open_as_writer(path, study) as connection:
            ledger = cls(connection)
            ledger.release_leases("the driver ended", ended=died)
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
                _register_trial(run, study, position, trial)

    def append(self, study: Study, trials: Sequence[PlannedTrial]) -> None:
        """Note further trials that a study wants; those that it has are left as they are."""
        with self._transaction() as run:
            query = "SELECT fingerprint FROM study_trials WHERE study = ?"
            known = {row[0] for row in run(query, (study.name,))}
            for position, trial in enumerate(trials, start=len(known)):
                if trial.fingerprint not in known:
                    _register_trial(run, study, position, trial)

    def forget_points(self, study: str) -> None:
        """Forget what a search has drawn."""
        with self._transaction() as run:
            run("DELETE FROM points WHERE study = ?", (study,))

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

    def lease(self, fingerprint: str, *, devices: float) -> int:
        """Hand a trial to a worker; return the attempt's number.

        Parameters
        ----------
        fingerprint
            The trial.
        devices
            GPUs, or else cores, that it occupies.
        """
        with self._transaction() as run:
            run("UPDATE trials SET state = 'leased' WHERE fingerprint = ?", (fingerprint,))
            # It waits for a free device and costs nothing until a worker begins.
            values = (fingerprint, time.time())
            cursor = run("INSERT INTO attempts (fingerprint, started, outcome) VALUES (?, ?, 'queued')", values)
            attempt = cursor.lastrowid or 0
            run("INSERT INTO attempt_costs (attempt, devices) VALUES (?, ?)", (attempt, devices))
        return attempt

    def begin(self, fingerprint: str) -> None:
        """Note that a worker has begun with a trial that was handed out: its time counts from now on."""
        with self._transaction() as run:
            run(
                "UPDATE attempts SET started = ?, outcome = '' "
                "WHERE fingerprint = ? AND ended IS NULL AND outcome = 'queued'",
                (time.time(), fingerprint),
            )

    def count_steps(self, fingerprint: str, steps: int) -> None:
        """Note that the running attempt at a trial has taken more steps."""
        with self._transaction() as run:
            run(
                "UPDATE attempt_costs SET steps = steps + ? WHERE attempt = "
                "(SELECT max(id) FROM attempts WHERE fingerprint = ? AND ended IS NULL)",
                (steps, fingerprint),
            )

    def spent(self, study: str) -> Spent:
        """Return what the trials of a study have used, over all launches and up to now; no time of this launch."""
        hours, steps, trainings = self._connection.execute(
            "SELECT total((coalesce(ended, ?) - started) * devices * (outcome != 'queued')) / 3600, "
            "coalesce(sum(steps), 0), "
            "count(DISTINCT CASE WHEN state != 'pending' THEN fingerprint END) "
            "FROM attempts LEFT JOIN attempt_costs ON attempt = id JOIN trials USING (fingerprint) "
            "WHERE fingerprint IN (SELECT fingerprint FROM study_trials WHERE study = ?)",
            (time.time(), study),
        ).fetchone()
        return Spent(device_hours=hours, steps=steps, trainings=trainings)

    def add_point(self, study: str, point: Point) -> None:
        """Note what a search has drawn."""
        with self._transaction() as run:
            settings = json.dumps(point.settings)
            run("INSERT INTO points (study, number, settings) VALUES (?, ?, ?)", (study, point.number, settings))

    def close_point(self, study: str, number: int, state: PointState, objectives: Sequence[float] | None) -> None:
        """Note what came of a point of a search."""
        with self._transaction() as run:
            run(
                "UPDATE points SET state = ?, objectives = ? WHERE study = ? AND number = ?",
                (state, None if objectives is None else json.dumps(list(objectives)), study, number),
            )

    def points(self, study: str) -> tuple[list[PastPoint], list[Point]]:
        """Return the points that a search has drawn: those that are closed, and those still open.

        A failed one is open again: asked for again, its trials get a new chance, and the search learns of it.
        """
        rows = self._connection.execute(
            "SELECT number, settings, state, objectives FROM points WHERE study = ? ORDER BY number", (study,)
        )
        closed, still_open = [], []
        for number, text, state, objectives in rows:
            settings = {
                name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()
            }
            if state in ("open", "failed"):
                still_open.append(Point(number, settings))
            else:
                scores = None if objectives is None else tuple(json.loads(objectives))
                closed.append(PastPoint(number, settings, state, scores))
        return closed, still_open

    def close_attempt(self, fingerprint: str, state: State, *, outcome: str, reason: str = "") -> None:
        """Note how the running attempt at a trial ended."""
        with self._transaction() as run:
            run("UPDATE trials SET state = ?, reason = ? WHERE fingerprint = ?", (state, reason, fingerprint))
            run(
                "UPDATE attempts SET ended = ?, outcome = ?, reason = ? WHERE fingerprint = ? AND ended IS NULL",
                (time.time(), outcome, reason, fingerprint),
            )

    def release_leases(self, reason: str, *, ended: float = math.inf) -> bool:
        """Make trials that workers have pending again; return whether there were any.

        Their attempts end at the time `ended`, or now if that is earlier.
        """
        now = time.time()
        with self._transaction() as run:
            released = run("UPDATE trials SET state = 'pending' WHERE state = 'leased'").rowcount
            run("UPDATE attempts SET started = ? WHERE ended IS NULL AND outcome = 'queued'", (now,))
            run(
                "UPDATE attempts SET ended = max(started, ?), outcome = 'lost', reason = ? WHERE ended IS NULL",
                (min(ended, now), reason),
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

    @contextmanager
    def _transaction(self) -> Iterator[Run]:
        with transaction(self._connection) as run:
            yield run


def _register_trial(run: Run, study: Study, position: int, trial: PlannedTrial) -> None:
    identity = trial.fingerprint
    run(
        "INSERT OR IGNORE INTO trials (fingerprint, cell, run, state) VALUES (?, ?, ?, 'pending')",
        (identity, trial.cell, to_json(trial.run)),
    )
    # Asked for again, a failed trial gets a new chance.
    run("UPDATE trials SET state = 'pending', reason = '' WHERE fingerprint = ? AND state = 'failed'", (identity,))
    if study.stopping is None:
        # Another study's rule has stopped it early: this one wants it whole.
        run("UPDATE trials SET state = 'pending' WHERE fingerprint = ? AND state = 'pruned'", (identity,))
    run("INSERT INTO study_trials VALUES (?, ?, ?, ?)", (study.name, identity, position, trial.label))
    for key, tiling in zip(trial.evaluation_keys, trial.tilings, strict=True):
        run(
            "INSERT OR IGNORE INTO evaluations (fingerprint, key, tiling) VALUES (?, ?, ?)",
            (identity, key, tiling.model_dump_json()),
        )
        run("INSERT INTO study_evaluations VALUES (?, ?, ?)", (study.name, identity, key))


def read_statuses(path: Path, study: str) -> list[TrialStatus]:
    """Return the trials of a study without becoming the ledger's writer; [] where there is none."""
    if not path.exists():
        return []
    with open_to_read(path) as connection:
        return Ledger(connection).statuses(study)


def read_known(path: Path) -> tuple[dict[str, State], set[tuple[str, str]]]:
    """Return the state of every trial, and (fingerprint, key) of every evaluation that is done, of all studies.

    Raises
    ------
    StoreError
        If the ledger cannot be read, or a newer version wrote it.
    """
    if not path.exists():
        return {}, set()
    with open_to_read(path) as connection:
        states = dict(connection.execute("SELECT fingerprint, state FROM trials"))
        done = connection.execute("SELECT fingerprint, key FROM evaluations WHERE metrics IS NOT NULL")
        return states, set(done)


def read_spent(path: Path, study: str) -> Spent:
    """Return what a study has used so far, without becoming the ledger's writer."""
    with open_to_read(path) as connection:
        return Ledger(connection).spent(study)
