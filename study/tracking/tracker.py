"""The only writer of MLflow: one experiment a study, one run a trial, one nested run an evaluation.

Everything it writes is read from the trial folders, so the tracking store can be made again from
them, and writing twice changes nothing: runs are found by their fingerprint, and metrics are sent
only for epochs above the highest that a run already has. A thread writes (`study.tracking.outbox`),
so that a slow or absent tracking store delays nothing; what it lacks waits in the trial folders.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study.engine.trial_folder import read_evaluation, read_record
from study.planning.design import PlannedTrial
from study.sharing.shared_store import fetched
from study.spec import Study
from study.store import Store
from study.tracking.cells import CellScores, cell_scores, cell_summary
from study.tracking.client import TrackingError, connect, reaching
from study.tracking.contents import (
    cell_parameters,
    ended_ms,
    epochs_after,
    evaluation_parameters,
    final_cost,
    record_tags,
    started_ms,
    trial_parameters,
    write_evaluation_files,
    write_trial_files,
)
from study.tracking.datasets import dataset_input
from study.tracking.energy import energy_tags
from study.tracking.experiment import link_comparisons, open_experiment
from study.tracking.model import FOLDER, write_model
from study.tracking.outbox import INTERVAL_S, Note, Outbox
from study.tracking.rows import Row
from study.tracking.runs import IN_STUDY, Key, KnownRun, Runs, is_part
from study.tracking.source import source_tags
from study.tracking.system import SYSTEM_KEY, system_rows
from usplit_core.checkpointing import BEST, LAST
from usplit_core.config import TilingConfig
from usplit_core.vocabulary import MONITOR

__all__ = ["Tracker", "TrackingError"]

#: Environment variable: with ``true``, runs also hold the last checkpoint, to continue a training elsewhere.
LOG_LAST = "USPLIT_LOG_LAST_CHECKPOINT"

#: Folders of the store in which the files of a run are put together.
_TEMPORARY = ".tracking-"
#: A pruned trial counts as killed: it must never be mistaken for one that was trained to its end.
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "pruned": "KILLED", "interrupted": "KILLED"}


def _remove_leftovers(store: Store) -> None:
    """Remove what drivers that were killed left: only one at a time has the store, and only it makes such folders."""
    for folder in store.root.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(folder, ignore_errors=True)


class Tracker:
    """Writes one study; the driver owns the only one.

    Raises
    ------
    TrackingError
        From its construction and from all methods that write at once, if the tracking store cannot be used.
    """

    def __init__(self, store: Store, study: Study, *, interval_s: float = INTERVAL_S) -> None:
        self._store = store
        _remove_leftovers(store)
        self._uri = store.tracking_uri
        self._source = source_tags()
        self._planned: dict[str, PlannedTrial] = {}
        with reaching(self._uri):
            self._client = connect(self._uri)
            self._experiment = open_experiment(self._client, store, study)
        self._question = study.question
        self._runs = Runs(self._client, self._experiment, study.name)
        self._outbox = Outbox(self._write, interval_s)

    @property
    def problem(self) -> str:
        """Why the tracking store could not be written to when that was last tried; empty where it could."""
        return self._outbox.problem

    @property
    def seconds(self) -> float:
        """How long writing has taken so far."""
        return self._outbox.seconds

    def open_trial(self, trial: PlannedTrial, details: Mapping[str, str] | None = None) -> None:
        """Note that a trial has begun, or goes on; returns at once."""
        self._post(trial, "running", "", {**self._source, **(details or {})})

    def log_epoch(self, fingerprint: str) -> None:
        """Note that an epoch of an open trial has ended; returns at once."""
        self._post(self._planned[fingerprint], "running", "", {})

    def sync_trial(self, trial: PlannedTrial, folder: Path, *, state: str, reason: str = "") -> None:
        """Note that a trial has ended; returns at once.

        Parameters
        ----------
        trial, folder
            The trial and where its results lie.
        state
            finished, pruned, failed or interrupted. Of a pruned trial no evaluations are shown.
        reason
            Why, where it did not finish.
        """
        self._post(trial, state, reason, {})

    def _post(self, trial: PlannedTrial, state: str, reason: str, tags: Mapping[str, str]) -> None:
        self._planned[trial.fingerprint] = trial
        self._outbox.post(Note(trial, state, reason, tags))

    def flush(self) -> None:
        """Write everything that waits, now."""
        self._outbox.drain()

    def _write(self, note: Note) -> None:
        """Bring the runs of a trial up to what its folder holds."""
        fetched(self._store, note.trial.fingerprint)
        with self._writing():
            self._write_trial(note)
            if note.state != "pruned":
                self._write_evaluations(note.trial)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """After a failure nothing is certain: what the store holds is read again before the next attempt."""
        with reaching(self._uri):
            try:
                yield
            except BaseException:
                self._runs.forget()
                raise

    def _write_trial(self, note: Note) -> None:
        trial, folder = note.trial, self._store.trial_folder(note.trial.fingerprint)
        key = Key("trial", trial.fingerprint)
        run = self._runs.find(key)
        if run is None:
            run = self._runs.create(key, cell=trial.cell, name=trial.label, start_ms=started_ms(folder))
        ended = _STATUS.get(note.state)
        has_begun = bool(note.tags)  # since this was last written
        if ended is not None and not has_begun and run.status == ended and _said(run) == (note.state, note.reason):
            return
        self._runs.reopen(run)
        tags = {**note.tags, "usplit.state": note.state, "usplit.reason": note.reason}
        rows = epochs_after(folder, self._runs.last_step(run, MONITOR.key))
        rows += system_rows(folder, self._runs.last_step(run, SYSTEM_KEY))
        if ended is None:
            self._runs.log(run, rows, trial_parameters(trial.run), tags)
            return
        self._runs.log(run, rows, trial_parameters(trial.run))
        self._write_end(run, folder, tags)
        self._runs.end(run, ended, ended_ms(folder))

    def _write_end(self, run: KnownRun, folder: Path, tags: dict[str, str]) -> None:
        rows = final_cost(folder, run.metrics, self._runs.last_step(run, MONITOR.key))
        record = read_record(folder)
        if record is not None:
            tags |= record_tags(record) | energy_tags(folder)
            self._client.log_inputs(run.identity, [dataset_input(record, "training")])
            self._log_files(run, lambda target: self._write_files(run, folder, record, target))
        # The state comes last: a run that says how it ended is complete.
        self._runs.log(run, rows, tags=tags)

    def _write_files(self, run: KnownRun, folder: Path, record: Mapping[str, Any], target: Path) -> None:
        write_trial_files(folder, record, target)
        if (folder / BEST).exists():
            write_model(folder / BEST, target / FOLDER, run.identity)
        # Several times the size of the best weights, so only where it is asked for.
        if os.environ.get(LOG_LAST, "").lower() == "true" and (folder / LAST).exists():
            (target / LAST).hardlink_to(folder / LAST)

    def _log_files(self, run: KnownRun, write: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self._store.root) as folder:
            write(Path(folder))
            self._client.log_artifacts(run.identity, folder)

    def _write_evaluations(self, trial: PlannedTrial) -> None:
        folder = self._store.trial_folder(trial.fingerprint)
        for key, tiling in zip(trial.evaluation_keys, trial.tilings, strict=True):
            if self._runs.find(Key("evaluation", trial.fingerprint, key)) is None:
                scores = read_evaluation(folder, key)
                if scores is not None:
                    self._write_evaluation(trial, tiling, key, scores)

    def _write_evaluation(self, trial: PlannedTrial, tiling: TilingConfig, key: str, scores: Mapping[str, Any]) -> None:
        folder, now = self._store.trial_folder(trial.fingerprint), _now_ms()
        began = now - round(1000 * scores["metrics"].get("test/seconds", 0.0))
        name = f"{trial.label} {key}"
        run = self._runs.create(Key("evaluation", trial.fingerprint, key), cell=trial.cell, name=name, start_ms=began)
        self._log_files(run, lambda target: write_evaluation_files(folder, key, scores["frames"], target))
        record = read_record(folder)
        if record is not None:
            self._client.log_inputs(run.identity, [dataset_input(record, "evaluation")])
        rows, tags = [Row(0, now, scores["metrics"])], {"usplit.state": "finished"}
        self._runs.log(run, rows, evaluation_parameters(trial, tiling), tags)
        self._runs.end(run, "FINISHED", now)

    def mark_parts(self, trials: Iterable[PlannedTrial]) -> None:
        """Write what waits, and mark the runs that the study has no more, or has again: `trials` are all it has now."""
        self.flush()
        wanted = {key for trial in trials for key in _keys_of(trial)}
        with self._writing():
            for key, run in self._runs.all():
                if (key in wanted) != is_part(run):
                    self._runs.log(run, tags={IN_STUDY: str(key in wanted).lower()})

    def log_cells(self, trials: Iterable[PlannedTrial], folder_of: Callable[[str], Path]) -> None:
        """Write what waits, and one run for each cell and tiling: mean, standard error and n of its finished trials."""
        self.flush()
        with self._writing():
            finished = [trial for trial in trials if self._state(trial) == "finished"]
            for scores in cell_scores(finished, folder_of):
                self._log_cell(scores)
            comparable = {"evaluations": self._runs.of_kind("evaluation"), "cells": self._runs.of_kind("cell")}
            link_comparisons(self._client, self._experiment, self._question, comparable)

    def _state(self, trial: PlannedTrial) -> str:
        run = self._runs.find(Key("trial", trial.fingerprint))
        return "" if run is None else run.tags.get("usplit.state", "")

    def _log_cell(self, scores: CellScores) -> None:
        key = Key("cell", scores.trial.cell, scores.key)
        summary = cell_summary(scores.rows)
        run = self._runs.find(key)
        if run is not None and run.metrics == summary:
            return
        if run is not None and summary["n"] <= run.metrics["n"]:
            self._runs.delete(key)  # other replicates, or other scores of the same: not a step further
            run = None
        if run is None:
            name = f"{scores.trial.label.rpartition(' seed')[0]} {scores.key} (mean)"
            run = self._runs.create(key, cell=scores.trial.cell, name=name, start_ms=_now_ms())
        self._runs.reopen(run)
        parameters, tags = cell_parameters(scores.trial, scores.tiling), {"usplit.state": "finished"}
        self._runs.log(run, [Row(len(scores.rows), _now_ms(), summary)], parameters, tags)
        self._runs.end(run, "FINISHED")

    def delete_runs(self, fingerprints: Sequence[str] | str) -> None:
        """Delete the runs of trials and of their evaluations."""
        wanted = {fingerprints} if isinstance(fingerprints, str) else set(fingerprints)
        with self._writing():
            for key, _ in self._runs.all():
                if key.fingerprint in wanted:
                    self._runs.delete(key)

    def end_orphans(self) -> None:
        """Write what waits and end every run that still counts as running: no worker is alive when this is called."""
        self.flush()
        with self._writing():
            self._runs.forget()
            for key, run in self._runs.all():
                if run.status == "RUNNING":
                    self._runs.log(run, tags={"usplit.state": "interrupted"} if key.kind == "trial" else {})
                    self._runs.end(run, "KILLED")


def _said(run: KnownRun) -> tuple[str, str]:
    """Return how a trial ended and why, as its run tells it."""
    return run.tags.get("usplit.state", ""), run.tags.get("usplit.reason", "")


def _keys_of(trial: PlannedTrial) -> Iterator[Key]:
    """Yield what the runs of a trial, of its evaluations and of its cells are found by."""
    yield Key("trial", trial.fingerprint)
    for key in trial.evaluation_keys:
        yield Key("evaluation", trial.fingerprint, key)
        yield Key("cell", trial.cell, key)


def _now_ms() -> int:
    return round(1000 * time.time())
