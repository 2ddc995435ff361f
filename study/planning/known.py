"""What a store already has of the trials of a study: from the ledger, without becoming its writer, and the folders."""

import json
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from study.engine.ledger import read_known
from study.engine.trial_folder import read_evaluation, read_result
from study.planning.design import PlannedTrial
from study.planning.probe import ProbePlace, device_name
from study.planning.workload import Shape, part_shapes, training_work
from study.store import Store
from usplit_core.config import RunConfig
from usplit_core.cost import cost_key
from usplit_core.errors import UserError
from usplit_core.settings import validate

State = Literal["new", "resumable", "finished", "pruned", "failed"]


class Known(NamedTuple):
    """What is there of one trial; `state` new means nothing."""

    state: State
    evaluations: frozenset[str]


class Timing(NamedTuple):
    """How long the trainings of one network took, in seconds a pass."""

    network: RunConfig
    seconds_per_pass: float


def known_trials(store: Store, trials: Sequence[PlannedTrial]) -> dict[str, Known]:
    """Return what is there of each trial, by fingerprint.

    Raises
    ------
    StoreError
        If a newer version wrote the ledger.
    """
    states, evaluations = read_known(store.ledger)
    folders = _trial_folders(store)
    found = {}
    for trial in trials:
        identity = trial.fingerprint
        folder = store.trial_folder(identity) if identity in folders else None
        done = {key for key in trial.evaluation_keys if (identity, key) in evaluations}
        if folder is not None:
            done |= {key for key in trial.evaluation_keys if key not in done and read_evaluation(folder, key)}
        found[identity] = Known(_state(states.get(identity), folder), frozenset(done))
    return found


def _trial_folders(store: Store) -> set[str]:
    """Return the names of all trial folders: one look instead of one a trial."""
    folder = store.trial_folder("any").parent
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _state(noted: str | None, folder: Path | None) -> State:
    if noted == "finished" or noted == "pruned":
        return "pruned" if noted == "pruned" else "finished"
    if folder is not None and noted != "failed" and read_result(folder) is not None:
        return "finished"
    if folder is not None and (folder / "last.safetensors").exists():
        return "resumable"
    return "failed" if noted == "failed" else "new"


def timings(store: Store, place: ProbePlace, shapes: dict[str, Shape]) -> list[Timing]:
    """Return how long finished trainings took on this device with as many threads, on the images of the study.

    Parameters
    ----------
    store
        Whose trials count, whatever study they belong to.
    place
        Device and threads of a trial.
    shapes
        Shape (N, C, Y, X) of the frames, by content hash.
    """
    found = []
    for record, result in _finished(store):
        shape = shapes.get(record["data"]["content"])
        if shape is None or not _same_device(record, place):
            continue
        try:
            run = validate(record["run"])
        except UserError:
            continue  # of a version that had other settings
        epochs = run.train.epochs
        if result["stopped"] == "early_stop":
            epochs = result["best_epoch"] + (run.train.early_stop_patience or 0)
        work = training_work(run, part_shapes(shape, run.data))
        passes = work.passes * epochs / work.epochs
        seconds = result["cost"].get("cost/train_seconds", 0.0)
        if result["stopped"] in ("finished", "early_stop") and seconds > 0:
            found.append(Timing(cost_key(run), seconds / passes))
    return found


def _finished(store: Store) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for name in sorted(_trial_folders(store)):
        folder = store.trial_folder(name)
        try:
            result = read_result(folder)
            if result is not None:
                yield json.loads((folder / "record.json").read_text("utf-8")), result
        except (OSError, ValueError):
            continue  # a folder that is being written or was cut short tells no time


def _same_device(record: dict[str, Any], place: ProbePlace) -> bool:
    on_host = record["device"] == platform.machine()
    device = record["host"] if on_host else record["device"]
    same_threads = not on_host or record.get("threads", place.threads) == place.threads
    return device == device_name(place.device) and on_host == (place.device == "cpu") and same_threads
