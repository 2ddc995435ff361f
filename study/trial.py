"""What a worker does: train one run, evaluate its weights under every tiling asked for, report.

It reads and writes the trial's folder and reports to the driver; it knows neither the ledger nor
the tracking store, so neither can slow it down.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.fingerprint import evaluation_key
from study.trial_folder import (
    begin_attempt,
    check_attempt,
    read_evaluation,
    write_evaluation,
    write_record,
    write_result,
)
from usplit_core import NUMERICS_VERSION, __version__
from usplit_core.config import RunConfig, TilingConfig
from usplit_core.errors import UserError
from usplit_core.settings import validate

#: What a worker sends to the driver: ``kind`` is started, epoch, evaluation, finished or failed.
Message = dict[str, Any]
Send = Callable[[Message], None]


class Assignment(NamedTuple):
    """What the driver hands to a worker; small and JSON-able, since Ray keeps it for every trial."""

    fingerprint: str
    attempt: int
    label: str
    folder: str
    run: dict[str, Any]
    tilings: list[dict[str, Any]]
    content: str
    channel_names: list[str]
    threads: int
    device: str


def run_trial(assignment: Assignment, frames: Mapping[str, NDArray[Any]], send: Send) -> None:
    """Train what is not trained, evaluate what is not evaluated.

    Parameters
    ----------
    assignment
        Which run, where, and under which tilings.
    frames
        Frames (N, C, Y, X) by content hash.
    send
        Takes messages for the driver.
    """
    import torch

    from usplit_core.training import TrainingDiverged

    torch.set_num_threads(assignment.threads)
    attempt = begin_attempt(Path(assignment.folder), assignment.attempt)
    send({"kind": "started", "host": platform.node(), "process": os.getpid()})
    run = validate(assignment.run)
    try:
        _train_and_evaluate(run, assignment, attempt, frames[assignment.content], send)
    except (TrainingDiverged, UserError, torch.OutOfMemoryError) as error:
        # Repeating would end the same way, so Ray must not see an exception and retry.
        send({"kind": "failed", "reason": f"{type(error).__name__}: {error}"})


def _train_and_evaluate(run: RunConfig, assignment: Assignment, attempt: str, pixels: NDArray[Any], send: Send) -> None:
    from usplit_core.data.mixing import fit_statistics
    from usplit_core.data.splits import Parts, split
    from usplit_core.inference.evaluation import Evaluation, evaluate
    from usplit_core.training import EpochReport, fit

    folder = Path(assignment.folder)
    parts: Parts = split(pixels, run.data)
    write_record(folder, _record(assignment, attempt, parts.record))

    def report(epoch: EpochReport) -> None:
        send({"kind": "epoch", "epoch": epoch.epoch, "epochs": epoch.epochs, "metrics": epoch.metrics})

    def keep(evaluation: Evaluation) -> None:
        check_attempt(folder, attempt)
        key = evaluation_key(evaluation.tiling)
        scores = {"tiling": evaluation.tiling.model_dump(), "metrics": evaluation.metrics, "frames": evaluation.frames}
        write_evaluation(folder, key, scores, {**evaluation.sample, "channels": np.array(assignment.channel_names)})
        send({"kind": "evaluation", "key": key, "metrics": evaluation.metrics})

    fitted = fit(
        run,
        parts,
        statistics=fit_statistics(parts.train, run.data),
        channel_names=tuple(assignment.channel_names),
        folder=folder,
        report=report,
        device=assignment.device,
        may_write=lambda: check_attempt(folder, attempt),
    )
    write_result(folder, {"stopped": fitted.stopped, "best_epoch": fitted.best_epoch, "cost": fitted.cost})
    tilings = [TilingConfig.model_validate(tiling) for tiling in assignment.tilings]
    missing = [tiling for tiling in tilings if read_evaluation(folder, evaluation_key(tiling)) is None]
    if missing:
        evaluate(fitted.model, parts, missing, device=assignment.device, on_done=keep)
    send({"kind": "finished", "stopped": fitted.stopped, "best_epoch": fitted.best_epoch})


def _record(assignment: Assignment, attempt: str, split_record: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {
        "fingerprint": assignment.fingerprint,
        "label": assignment.label,
        "attempt": attempt,
        "run": assignment.run,
        "data": {"content": assignment.content, "channels": assignment.channel_names, "split": split_record},
        "versions": {"usplit": __version__, "numerics": NUMERICS_VERSION, "torch": torch.__version__},
        "host": platform.node(),
        "device": torch.cuda.get_device_name() if assignment.device == "cuda" else platform.machine(),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def trainable(config: dict[str, Any], frames: Mapping[str, NDArray[Any]]) -> None:
    """Run one trial under Ray Tune; `config` holds an `Assignment` as JSON text."""
    from ray import tune

    assignment = Assignment(**json.loads(config["assignment"]))
    run_trial(assignment, frames, lambda message: tune.report({**message, "fingerprint": assignment.fingerprint}))
