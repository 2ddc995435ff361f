"""What has been computed of one trial, in a folder named by its fingerprint.

::

    record.json             settings, identity, data, split, versions, host
    history.jsonl           one line an epoch
    last.safetensors        to resume from
    best.safetensors        to predict with
    evaluations/KEY.json    scores of one tiling; KEY.npz a sample of its prediction
    attempt                 name of the attempt that may write here

A worker that was given up may still be alive for a while (a lost node is noticed after some ten
seconds), so each write first checks that its attempt is still the one that counts.
"""

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class AttemptSuperseded(RuntimeError):
    """Another attempt at the same trial has taken over its folder."""


def begin_attempt(folder: Path, number: int) -> str:
    """Make this worker the only one that may write in `folder`; return the name of its attempt.

    Ray repeats a lost worker's task with the same `number`, so a random part tells the two apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    attempt = f"{number}-{uuid.uuid4().hex[:8]}"
    _replace(folder / "attempt", attempt)
    return attempt


def check_attempt(folder: Path, attempt: str) -> None:
    """Raise `AttemptSuperseded` if another attempt has taken over."""
    current = (folder / "attempt").read_text()
    if current != attempt:
        raise AttemptSuperseded(f"attempt {attempt} at {folder.name} was superseded by attempt {current}")


def clear(folder: Path) -> None:
    """Remove what has been computed, so that the trial starts anew."""
    for path in (folder / "history.jsonl", folder / "last.safetensors", folder / "best.safetensors"):
        path.unlink(missing_ok=True)
    for path in (folder / "evaluations").glob("*"):
        path.unlink()


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write what the trial is and where it ran."""
    _replace(folder / "record.json", json.dumps(record, indent=2))


def append_history(folder: Path, line: Mapping[str, Any]) -> None:
    """Add the report of one epoch."""
    with (folder / "history.jsonl").open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")  # a worker was killed within its last line
        file.write(json.dumps(line).encode() + b"\n")


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the reports in the order of epochs, each epoch once.

    A trial that was killed between a report and its checkpoint repeats that epoch; a kill in the
    middle of a line leaves a line that cannot be read, and the epoch is repeated as well.
    """
    path = folder / "history.jsonl"
    by_epoch: dict[int, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            report = json.loads(line)
        except json.JSONDecodeError:
            continue
        by_epoch[report["epoch"]] = report
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def write_evaluation(folder: Path, key: str, scores: Mapping[str, Any], sample: Mapping[str, NDArray[Any]]) -> None:
    """Write the scores of one evaluation, the sample first: scores that stand are complete."""
    evaluations = folder / "evaluations"
    evaluations.mkdir(exist_ok=True)
    partial = evaluations / f".{key}.{os.getpid()}.npz"
    np.savez_compressed(partial, allow_pickle=False, **dict(sample))
    partial.replace(evaluations / f"{key}.npz")
    _replace(evaluations / f"{key}.json", json.dumps(scores, indent=2))


def read_evaluation(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the scores of one evaluation, or None where it has not been computed."""
    path = folder / "evaluations" / f"{key}.json"
    scores: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return scores


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)
