"""What has been computed of one trial, in a folder named by its fingerprint.

::

    record.json             settings, identity, data, split, versions, host
    last.safetensors        to resume from; holds the reports of all epochs
    best.safetensors        to predict with
    result.json             how the training ended, what it cost
    error.txt               where the last attempt failed, if it did
    system.jsonl            load and memory of the machine, where asked for
    evaluations/KEY/        scores.json of one tiling, and sample.npz of its prediction
    attempt                 name of the attempt that may write here

A worker that was given up may still be alive for a while (a lost node is noticed after some ten
seconds), so each write first checks that its attempt is still the one that counts.
"""

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usplit_core.whole_files import read_json, remove_unfinished_writes, replacing, write_whole


class AttemptSuperseded(RuntimeError):
    """Another attempt at the same trial has taken over its folder."""


def begin_attempt(folder: Path, number: int) -> str:
    """Make this worker the only one that may write in `folder`; return the name of its attempt.

    Ray repeats a lost worker's task with the same `number`, so a random part tells the two apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    attempt = f"{number}-{uuid.uuid4().hex[:8]}"
    write_whole(folder / "attempt", attempt)
    # Half-written by workers that were killed; one that still lives must not write here either.
    for place in (folder, *folder.glob("evaluations/*")):
        remove_unfinished_writes(place)
    for path in folder.glob("evaluations/*/.sample.*.npz"):  # as older versions named them
        path.unlink(missing_ok=True)
    return attempt


def check_attempt(folder: Path, attempt: str) -> None:
    """Raise `AttemptSuperseded` if another attempt has taken over."""
    current = (folder / "attempt").read_text()
    if current != attempt:
        raise AttemptSuperseded(f"attempt {attempt} at {folder.name} was superseded by attempt {current}")


def clear(folder: Path) -> None:
    """Remove what has been computed, so that the trial starts anew."""
    for name in ("result.json", "last.safetensors", "best.safetensors", "error.txt", "system.jsonl", "energy.json"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "evaluations", ignore_errors=True)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write what the trial is and where it ran."""
    write_whole(folder / "record.json", json.dumps(record, indent=2))


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write how the training ended and what it cost."""
    write_whole(folder / "result.json", json.dumps(result, indent=2))


def write_error(folder: Path, text: str) -> None:
    """Write what went wrong, for whoever wants to mend it."""
    write_whole(folder / "error.txt", text)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return what the trial is and where it ran, or None where it has not begun."""
    return read_json(folder / "record.json")


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return how the training ended, or None where it has not."""
    return read_json(folder / "result.json")


def write_evaluation(folder: Path, key: str, scores: Mapping[str, Any], sample: Mapping[str, NDArray[Any]]) -> None:
    """Write the scores of one evaluation, the sample first: scores that stand are complete."""
    evaluation = evaluation_folder(folder, key)
    evaluation.mkdir(parents=True, exist_ok=True)
    with replacing(evaluation / "sample.npz") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(sample))
    write_whole(evaluation / "scores.json", json.dumps(scores, indent=2))


def read_evaluation(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the scores of one evaluation, or None where it has not been computed."""
    return read_json(evaluation_folder(folder, key) / "scores.json")


def evaluation_folder(folder: Path, key: str) -> Path:
    """Return where the results of one evaluation lie."""
    return folder / "evaluations" / key
