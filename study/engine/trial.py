"""What a worker does: train one run, evaluate its weights under every tiling asked for, report.

It reads and writes in the trial's workplace and reports to the driver; it knows neither the ledger
nor the tracking store, so neither can slow it down.
"""

import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from study.engine.outage import StorageOutage, outlast
from study.engine.trial_folder import (
    AttemptSuperseded,
    read_evaluation,
    read_result,
    write_error,
    write_evaluation,
    write_record,
    write_result,
)
from study.errors import StoreError
from study.planning.datasets import open_images
from study.planning.fingerprint import evaluation_key
from study.planning.mapped import MappedImages, NodeImages
from study.sharing.workplace import Workplace, workplace
from study.tracking.energy import energy_of, measured_energy
from study.tracking.system import system_samples
from usplit_core import NUMERICS_VERSION, __version__
from usplit_core.config import RunConfig, TilingConfig
from usplit_core.errors import UserError
from usplit_core.settings import validate
from usplit_core.vocabulary import MONITOR

#: What a worker sends to the driver: ``kind`` is started, epoch, evaluation, waiting, finished, replayed or failed.
Message = dict[str, Any]
Send = Callable[[Message], None]
#: Frames (N, C, Y, X), or which files a worker maps.
Sent = NDArray[Any] | MappedImages
_Result = TypeVar("_Result")


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
    cpus: int
    gpus: float
    #: Address of the object store through which nodes share the trial; empty = all of them have the folder.
    shared: str = ""
    #: A stopping rule decides over the trial, so it must see the epochs of earlier launches too.
    repeat_epochs: bool = False
    #: The trial is closed: its epochs are repeated for the stopping rule, and nothing else is done.
    replay: bool = False


def run_trial(assignment: Assignment, frames: Mapping[str, Sent], send: Send) -> None:
    """Train what is not trained, evaluate what is not evaluated.

    Parameters
    ----------
    assignment
        Which run, where, and under which tilings.
    frames
        Frames (N, C, Y, X) by content hash.
    send
        Takes messages for the driver.

    Raises
    ------
    OSError
        If the folder cannot be used: whoever called may try again.
    """
    try:
        with workplace(Path(assignment.folder), assignment.shared) as place:
            _run_at(place, assignment, frames, send)
    except StoreError as error:  # storage that cannot be used from here, or has failed for too long
        send({"kind": "failed", "reason": f"{failure_kind(error)}: {error}"})


def _run_at(place: Workplace, assignment: Assignment, frames: Mapping[str, Sent], send: Send) -> None:
    import torch

    def outlasting(work: Callable[[], _Result]) -> _Result:
        """Do some work; where storage fails for a while, do it again, from the last checkpoint on."""
        return outlast(
            work,
            ready=place.check_ready,
            waiting=lambda reason: send({"kind": "waiting", "reason": f"storage: {reason}"}),
        )

    if assignment.replay:
        outlasting(place.look)
        _repeat_epochs(place.folder, send)
        send({"kind": "replayed"})
        return
    torch.set_num_threads(assignment.cpus)
    attempt = outlasting(lambda: place.begin(assignment.attempt))
    here = {"host": platform.node(), "process": os.getpid(), "cpus": assignment.cpus, "gpus": assignment.gpus}
    send({"kind": "started", **here})
    try:
        if assignment.repeat_epochs:
            _repeat_epochs(place.folder, send)
        run = outlasting(lambda: place.with_noise_model(validate(assignment.run)))
        images = open_images(frames[assignment.content], assignment.content)
        with system_samples(place.folder, _device(assignment)):
            work = _Work(assignment, attempt, place, lambda: outlasting(place.share), send)
            outlasting(lambda: _train_and_evaluate(run, images, work))
    except (OSError, AttemptSuperseded):
        raise
    except Exception as error:  # becomes the reason of the failed trial
        # Repeating would end the same way, so Ray must not see an exception and retry.
        with suppress(OSError, StoreError):  # storage may be the reason
            write_error(place.folder, traceback.format_exc())
            place.share()
        send({"kind": "failed", "reason": f"{failure_kind(error)}: {error}"})
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()


class _Work(NamedTuple):
    """One attempt at a trial: what is asked, where, and who is told.

    Attributes
    ----------
    share
        Lets the driver see what has been written; waits while storage fails.
    """

    assignment: Assignment
    attempt: str
    place: Workplace
    share: Callable[[], None]
    send: Send


def failure_kind(error: Exception) -> str:
    """Return why a trial failed, in a word: diverged, storage, memory, user or error."""
    import torch

    from usplit_core.training import TrainingDiverged

    if isinstance(error, TrainingDiverged):
        return "diverged"
    if isinstance(error, StorageOutage):
        return "storage"
    if isinstance(error, UserError):
        return "user"
    # On a CPU, torch says in the text of a RuntimeError that memory is short.
    short = isinstance(error, RuntimeError) and ("allocate memory" in str(error) or "out of memory" in str(error))
    return "memory" if short or isinstance(error, (torch.OutOfMemoryError, MemoryError)) else "error"


def _repeat_epochs(folder: Path, send: Send) -> None:
    """Report the epochs of earlier launches once more."""
    from usplit_core.training import read_history

    for report in read_history(folder):
        send({**_epoch_message(report.epoch, report.epochs, report.metrics), "steps": 0, "repeated": True})


def _epoch_message(epoch: int, epochs: int, metrics: dict[str, float]) -> Message:
    return {"kind": "epoch", "epoch": epoch, "epochs": epochs, "metrics": metrics, "monitor": metrics[MONITOR.key]}


def _train_and_evaluate(run: RunConfig, images: NodeImages, work: _Work) -> None:
    from usplit_core.checkpointing import LAST
    from usplit_core.data.mixing import fit_statistics
    from usplit_core.data.sampling import steps_of_epoch
    from usplit_core.data.splits import Parts, split
    from usplit_core.inference.evaluation import Evaluation, evaluate
    from usplit_core.resume import begin_after
    from usplit_core.training import EpochReport, fit

    assignment, place, send = work.assignment, work.place, work.send
    folder = place.folder
    parts: Parts = split(images.pixels, run.data, images.arrays)
    write_record(folder, _record(assignment, work.attempt, parts.record))
    steps, device = steps_of_epoch(parts.train.shape, run), _device(assignment)

    writing = _WritingTime()

    def may_write() -> None:
        place.check()
        writing.begin()

    def report(epoch: EpochReport) -> None:
        work.share()
        writing.end()
        send({**_epoch_message(epoch.epoch, epoch.epochs, epoch.metrics), "steps": steps})

    def keep(evaluation: Evaluation) -> None:
        place.check()
        key = evaluation_key(evaluation.tiling)
        scores = {"tiling": evaluation.tiling.model_dump(), "metrics": evaluation.metrics, "frames": evaluation.frames}
        write_evaluation(folder, key, scores, {**evaluation.sample, "channels": np.array(assignment.channel_names)})
        work.share()
        send({"kind": "evaluation", "key": key, "metrics": evaluation.metrics})

    if run.train.continue_from is not None:
        place.check()
        begin_after(place.origin(run.train.continue_from), folder / LAST, run)
    with measured_energy(folder, device):
        fitted = fit(
            run,
            parts,
            statistics=fit_statistics(parts.train, run.data),
            channel_names=tuple(assignment.channel_names),
            folder=folder,
            report=report,
            device=device,
            may_write=may_write,
        )
    result = {"stopped": fitted.stopped, "best_epoch": fitted.best_epoch, "best_metrics": fitted.best_metrics}
    # What was measured is kept where this launch has only evaluations to add.
    before = (read_result(folder) or {"cost": {}})["cost"]
    write_result(folder, {**result, "cost": before | fitted.cost | energy_of(folder) | writing.cost()})
    work.share()
    tilings = [TilingConfig.model_validate(tiling) for tiling in assignment.tilings]
    missing = [tiling for tiling in tilings if read_evaluation(folder, evaluation_key(tiling)) is None]
    if missing:
        evaluate(fitted.model, parts, missing, device=device, on_done=keep)
    send({"kind": "finished", "stopped": fitted.stopped, "best_epoch": fitted.best_epoch})


class _WritingTime:
    """How long a training has taken to write its checkpoints: from leave to write until all have them."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since: float | None = None
        self._has_begun = False

    def begin(self) -> None:
        """Note that a file is to be written; the first time it is the folder that is made, before the training."""
        if self._has_begun and self._since is None:
            self._since = time.perf_counter()
        self._has_begun = True

    def end(self) -> None:
        """Note that all files of an epoch are written."""
        if self._since is not None:
            self._seconds += time.perf_counter() - self._since
        self._since = None

    def cost(self) -> dict[str, float]:
        """Return the metric; nothing where nothing was written."""
        return {"cost/checkpoint_seconds": self._seconds} if self._seconds else {}


def _device(assignment: Assignment) -> str:
    return "cuda" if assignment.gpus else "cpu"


def _record(assignment: Assignment, attempt: str, split_record: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {
        "fingerprint": assignment.fingerprint,
        "label": assignment.label,
        "attempt": attempt,
        "run": assignment.run,
        "data": {"content": assignment.content, "channels": assignment.channel_names, "split": split_record},
        "versions": {
            "usplit": __version__,
            "numerics": NUMERICS_VERSION,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "host": platform.node(),
        "device": torch.cuda.get_device_name() if assignment.gpus else platform.machine(),
        "threads": assignment.cpus,
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def trainable(config: dict[str, Any], frames: Mapping[str, Sent]) -> None:
    """Run one trial under Ray Tune; `config` holds an `Assignment` as JSON text."""
    from ray import tune

    assignment = Assignment(**json.loads(config["assignment"]))
    run_trial(assignment, frames, lambda message: tune.report({**message, "fingerprint": assignment.fingerprint}))
