"""What the notebook costs: seconds that writing to the tracking store takes, beside those of the trial that is written.

    python -m benchmarks.tracking_cost --epochs 40 --epoch-seconds 1.0

A worker trains a small network and waits ``--epoch-seconds`` after each epoch, as long as one of useful size would
compute. Beside it the notebook is written, as the driver does it. Three numbers: how long the driver was held up, how
long the writing thread was busy, waiting for the disk included, and how much processor time the process took.
"""

import argparse
import sys
import tempfile
import time
from multiprocessing import Queue, get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from study.engine.trial import Assignment, Message, run_trial
from study.planning.design import PlannedTrial
from study.spec import Grid, Study
from study.store import Store, open_store
from study.tracking.tracker import Tracker
from usplit_core.config import TilingConfig
from usplit_core.settings import resolve

SETTINGS = {
    "data.path": "none.tif",
    "model.patch_px": 32,
    "model.depth": 2,
    "model.lc_depth": 1,
    "model.filters": 8,
    "model.latent_channels": 8,
    "tiling.padding_px": 8,
    "train.steps_per_epoch": 1,
    "train.batch_size": 2,
}
TILINGS = (TilingConfig(mode="inner", padding_px=8), TilingConfig(mode="outer", padding_px=8))
STUDY = Study(
    name="cost",
    question="What does tracking cost?",
    base={"data.path": "none.tif"},
    evaluate={"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(8)},
)
_CONTENT = "0" * 32
_LONGEST_S = 600.0


class Cost(NamedTuple):
    """Seconds of a trial, and of what its tracking took."""

    trial: float
    held_up: float
    writing: float
    processor: float


def main() -> int:
    """Run the benchmark; return 1 where the driver was held up, or the processor used, for more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--epoch-seconds", type=float, default=1.0)
    parser.add_argument("--tracking-uri", help="address of a server; without it, a database on disk")
    parser.add_argument("--limit", type=float, default=0.01, help="largest share of the trial's time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "store", arguments.tracking_uri)
        tracker = Tracker(store, STUDY)
        # The first trial of a study also pays for what is imported once.
        _measure(tracker, store, _trial("first", epochs=2), epoch_seconds=0)
        trial = _trial("second", epochs=arguments.epochs)
        cost = _measure(tracker, store, trial, epoch_seconds=arguments.epoch_seconds)
    shares = {"driver held up": cost.held_up, "writing thread busy": cost.writing, "processor time": cost.processor}
    sys.stdout.write(f"trial {cost.trial:.1f} s, {arguments.epochs} epochs, {len(TILINGS)} evaluations\n")
    for name, seconds in shares.items():
        sys.stdout.write(f"{name:<20} {seconds:7.3f} s  {seconds / cost.trial:7.2%} of the trial\n")
    return int(max(cost.held_up, cost.processor) > arguments.limit * cost.trial)


def _trial(name: str, epochs: int) -> PlannedTrial:
    return PlannedTrial(name, "cell", f"{name} seed0", resolve({**SETTINGS, "train.epochs": epochs}), TILINGS)


def _work(folder: str, name: str, epochs: int, epoch_seconds: float, messages: "Queue[Message]") -> None:
    """Train and evaluate in a process of its own, at the pace of a real trial."""

    def send(message: Message) -> None:
        messages.put(message)
        if message["kind"] == "epoch":
            time.sleep(epoch_seconds)  # what a network of useful size would compute in this time

    trial = _trial(name, epochs)
    frames = np.random.default_rng(0).uniform(0, 1000, (10, 2, 256, 256)).astype(np.uint16)
    assignment = Assignment(
        fingerprint=trial.fingerprint,
        attempt=1,
        label=trial.label,
        folder=folder,
        run=trial.run.model_dump(mode="json"),
        tilings=[tiling.model_dump() for tiling in trial.tilings],
        content=_CONTENT,
        channel_names=["a", "b"],
        cpus=1,
        gpus=0,
    )
    run_trial(assignment, {_CONTENT: frames}, send)


def _measure(tracker: Tracker, store: Store, trial: PlannedTrial, *, epoch_seconds: float) -> Cost:
    """Let a worker compute, and track its messages as the driver does."""
    context = get_context("spawn")
    folder, messages = store.trial_folder(trial.fingerprint), context.Queue()
    work = (str(folder), trial.fingerprint, trial.run.train.epochs, epoch_seconds, messages)
    worker = context.Process(target=_work, args=work)
    worker.start()
    message = messages.get(timeout=_LONGEST_S)
    before = tracker.seconds
    started, processor, held_up = time.perf_counter(), time.process_time(), 0.0
    while message["kind"] not in ("finished", "failed"):
        begun = time.perf_counter()
        if message["kind"] == "started":
            tracker.open_trial(trial, {"usplit.host": message["host"]})
        elif message["kind"] == "epoch":
            tracker.log_epoch(trial.fingerprint)
        held_up += time.perf_counter() - begun
        message = messages.get(timeout=_LONGEST_S)
    begun = time.perf_counter()
    tracker.sync_trial(trial, folder, state=message["kind"])
    held_up += time.perf_counter() - begun
    lasted = time.perf_counter() - started
    tracker.flush()
    worker.join()
    return Cost(lasted, held_up, tracker.seconds - before, time.process_time() - processor)


if __name__ == "__main__":
    sys.exit(main())
