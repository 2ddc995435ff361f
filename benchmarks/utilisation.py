"""Are the GPUs of a cluster kept busy? Eight nodes with one logical GPU each, 200 trials of mixed length.

    python -m benchmarks.utilisation --trials 200 --nodes 8

The trials sleep instead of training, for 5 to 30 s each: nothing here has eight GPUs. All else is the real thing: Ray's
processes of every node, Tune, the searcher, the ledger, checkpoints, the tracking store. A GPU counts as busy while its
trial sleeps, and as idle while the trial starts, writes, reports or waits for the driver.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.clusters import cluster, run_on_cluster
from benchmarks.results import FOLDER, add_run
from benchmarks.trainings import say
from study.engine.driver import Driver
from study.engine.trial import Assignment, Message
from study.engine.trial_folder import begin_attempt, write_evaluation, write_result
from study.planning.fingerprint import evaluation_key
from study.spec import FullFactorial, Grid, LogUniform, Resources, Search, Study
from usplit_core.checkpoint import save_training
from usplit_core.checkpointing import LAST
from usplit_core.config import TilingConfig
from usplit_core.progress import Progress
from usplit_core.settings import validate
from usplit_core.vocabulary import MONITOR

_EPOCHS = 10
_SHORTEST_S, _LONGEST_S = 5.0, 30.0


class Sleep(NamedTuple):
    """When a trial slept, in seconds since the epoch, and for how long in all."""

    began: float
    ended: float
    seconds: float


class Use(NamedTuple):
    """How the time of all GPUs was used.

    Attributes
    ----------
    whole
        Share in which they were busy, from the beginning of the first trial to the end of the last.
    steady
        The same, from when each GPU had got its first trial until there was no further trial to begin.
    trials
        Share in which they had a trial, from the beginning of the first trial to the end of the last: what `whole`
        lacks of it was spent in trials that wrote or reported, the rest between trials.
    """

    whole: float
    steady: float
    trials: float


def length_s(fingerprint: str) -> float:
    """Return how long a trial sleeps: evenly spread over the logarithm, the same in every run."""
    draw = random.Random(fingerprint).random()
    return _SHORTEST_S * math.exp(draw * math.log(_LONGEST_S / _SHORTEST_S))


def sleep_instead(config: dict[str, Any], frames: Mapping[str, NDArray[Any]]) -> None:
    """Stand in for `study.engine.trial.trainable`: write and report as it does, but sleep where it computes."""
    from ray import tune

    assignment = Assignment(**json.loads(config["assignment"]))
    folder, run = Path(assignment.folder), validate(assignment.run)

    def send(message: Message) -> None:
        tune.report({**message, "fingerprint": assignment.fingerprint})

    began = time.time()
    begin_attempt(folder, assignment.attempt)
    send({"kind": "started", "host": "node", "cpus": assignment.cpus, "gpus": assignment.gpus})
    module = torch.nn.Linear(1, 1)
    optimiser = torch.optim.Adam(module.parameters())
    history: tuple[dict[str, float], ...] = ()
    for epoch in range(1, _EPOCHS + 1):
        time.sleep(length_s(assignment.fingerprint) / _EPOCHS)  # what stands for a training
        metrics = {MONITOR.key: 20.0 + epoch, "train/loss": 1.0 / epoch, "cost/train_seconds": float(epoch)}
        history = (*history, metrics)
        progress = {"epochs": Progress(history=history)._asdict(), "schedule": {}}
        save_training(folder / LAST, module, optimiser, run=run, progress=progress)
        send({"kind": "epoch", "epoch": epoch, "epochs": _EPOCHS, "metrics": metrics, "monitor": 20.0, "steps": 1})
    write_result(folder, {"stopped": "finished", "best_epoch": _EPOCHS, "best_metrics": history[-1], "cost": {}})
    for tiling in map(TilingConfig.model_validate, assignment.tilings):
        scores = {"tiling": tiling.model_dump(), "metrics": {"test/psnr_db": 30.0}, "frames": []}
        images = np.arange(2 * 16 * 16, dtype=np.float32).reshape(2, 16, 16)
        sample = {"input": images[0], "target": images, "prediction": images, "channels": np.array(["a", "b"])}
        write_evaluation(folder, evaluation_key(tiling), scores, sample)
        send({"kind": "evaluation", "key": evaluation_key(tiling), "metrics": scores["metrics"]})
    slept = Sleep(began, time.time(), length_s(assignment.fingerprint))
    send({"kind": "finished", "stopped": "finished", "best_epoch": _EPOCHS, "slept": list(slept)})


def study_of(trials: int, *, search: bool) -> Study:
    """Return a grid of trials that differ in their seed alone, or a search that draws them one after another."""
    images = "synthetic:glyphs?frames=5&size_px=32"
    return Study(
        name="utilisation",
        question="Are the GPUs kept busy?",
        base={
            "data.path": images,
            "model.patch_px": 16,
            "model.depth": 2,
            "model.lc_depth": 0,
            "train.epochs": _EPOCHS,
        },
        train={"train.learning_rate": LogUniform(1e-5, 1e-1)} if search else {},
        evaluate={"tiling.padding_px": Grid(4)},
        design=Search(trials=trials, sampler="tpe") if search else FullFactorial(),
        replicates=1 if search else trials,
        objective=MONITOR.key,
        resources=Resources(cpus=1, gpus=1),
    )


def run_trials(study: Study, address: str, store: Path) -> list[Sleep]:
    """Run a study whose trials sleep; return when they did."""
    # Imported here: Ray reads the token when it is imported.
    from study.engine import execution

    sleeps: list[Sleep] = []

    def show(driver: Driver, message: Message) -> None:
        if message["kind"] == "finished":
            sleeps.append(Sleep(*message["slept"]))
            sys.stderr.write(f"\r{len(sleeps)} trials")

    with mock.patch.object(execution, "trainable", sleep_instead):
        run_on_cluster(study, address, store, show)
    return sleeps


def use_of(sleeps: list[Sleep], gpus: int) -> Use:
    """Return how busy the GPUs were; a trial sleeps evenly between its beginning and its end."""
    first, last = min(sleep.began for sleep in sleeps), max(sleep.ended for sleep in sleeps)
    begins = sorted(sleep.began for sleep in sleeps)
    since, until = begins[gpus - 1], begins[-1]
    whole = sum(sleep.seconds for sleep in sleeps) / (gpus * (last - first))
    inside = sum(
        sleep.seconds * max(0.0, min(sleep.ended, until) - max(sleep.began, since)) / (sleep.ended - sleep.began)
        for sleep in sleeps
    )
    had_one = sum(sleep.ended - sleep.began for sleep in sleeps) / (gpus * (last - first))
    return Use(whole, inside / (gpus * (until - since)), had_one)


def main() -> int:
    """Print and keep the utilisation; return 1 where it is below the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--search", action="store_true", help="draw the trials one after another instead of a grid")
    parser.add_argument("--limit", type=float, default=0.9, help="least share of the time")
    parser.add_argument("--out", type=Path, default=FOLDER / "utilisation.json")
    arguments = parser.parse_args()
    study = study_of(arguments.trials, search=arguments.search)
    with tempfile.TemporaryDirectory() as folder, cluster(arguments.nodes, gpus=1) as address:
        sleeps = run_trials(study, address, Path(folder) / "store")
    use = use_of(sleeps, arguments.nodes)
    say(f"\n{len(sleeps)} trials of {_SHORTEST_S:.0f} to {_LONGEST_S:.0f} s (sleeping) on {arguments.nodes} GPUs")
    say(f"busy {use.whole:.1%} from the first trial to the last, {use.steady:.1%} while there were trials to begin")
    say(f"with a trial {use.trials:.1%}")
    settings = {"shortest_s": _SHORTEST_S, "longest_s": _LONGEST_S, "epochs": _EPOCHS, "sleeping": True}
    key = f"{'search' if arguments.search else 'grid'}/{arguments.trials} trials/{arguments.nodes} nodes"
    add_run(arguments.out, settings, key, use._asdict())
    return int(use.steady < arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
