"""Trainings of a fixed number of steps, with the package's own `fit` and `evaluate`, some at a time."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Literal, NamedTuple

import torch

from benchmarks.results import Run
from usplit_core import __version__
from usplit_core.checkpoint import SavedModel, load_training, save_model
from usplit_core.checkpointing import LAST
from usplit_core.config import RunConfig
from usplit_core.data.frames import read_frames
from usplit_core.data.mixing import fit_statistics
from usplit_core.data.sampling import Batch
from usplit_core.data.splits import Parts, split
from usplit_core.errors import ConfigError
from usplit_core.inference.evaluation import evaluate
from usplit_core.learner import build_learner, take_step
from usplit_core.settings import Setting, resolve
from usplit_core.training import EpochReport, fit
from usplit_core.vocabulary import HEADLINE

_CPU = torch.device("cpu")


class Job(NamedTuple):
    """One training to be scored.

    Attributes
    ----------
    key
        Of the training in the results file.
    settings
        Of the run, by dotted name; ``train.steps_per_epoch`` and ``train.epochs`` among them.
    part
        Whose frames are scored.
    score_epochs
        After which epochs, counted from 1.
    threads
        Of torch.
    """

    key: str
    settings: dict[str, Setting]
    part: Literal["validation", "test"]
    score_epochs: tuple[int, ...]
    threads: int

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        train = resolve(self.settings).train
        return train.epochs * (train.steps_per_epoch or 0)


def run_jobs(jobs: Sequence[Job], processes: int, done: Callable[[Job, Run], None]) -> None:
    """Run the jobs, the longest first; tell `done` of each as soon as it is there."""
    if not jobs:
        return
    torch.set_num_threads(jobs[0].threads)
    seconds = {job.key: job.steps * seconds_per_step(job) for job in jobs}
    total = sum(seconds.values()) / min(processes, len(jobs))
    say(
        f"{len(jobs)} trainings, {processes} at a time with {jobs[0].threads} thread(s) each. By the time of a step "
        f"here and now, about {total / 60:.1f} minutes, and some more for scoring."
    )
    longest_first = sorted(jobs, key=lambda job: -seconds[job.key])
    for number, (job, run) in enumerate(_outcomes(longest_first, processes), start=1):
        done(job, run)
        say(f"[{number}/{len(jobs)}] {job.key}: {_scores_text(run)} after {run['seconds']:.0f} s")


def _outcomes(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Run]]:
    if processes == 1:
        yield from ((job, train_and_score(job)) for job in jobs)
        return
    # Not forked: the threads of torch do not survive that.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(train_and_score, job): job for job in jobs}
        yield from ((futures[future], future.result()) for future in as_completed(futures))


def train_and_score(job: Job) -> Run:
    """Train as long as the job says; return the scores of the weights that the network has after each of its epochs.

    Not of the best weights: networks are compared after equally many steps.
    """
    torch.set_num_threads(job.threads)
    started = perf_counter()
    run = resolve(job.settings)
    frames = read_frames(run.data.path, axes=run.data.axes, channels=run.data.channels)
    parts = split(frames.pixels, run.data)
    statistics = fit_statistics(parts.train, run.data)
    record = SavedModel(run, statistics, parts.record, {}, 0, __version__, frames.channel_names)
    scores: dict[str, dict[str, float]] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)

        def report(epoch: EpochReport) -> None:
            if epoch.epoch in job.score_epochs:
                steps = epoch.epoch * (run.train.steps_per_epoch or 0)
                scores[str(steps)] = _score(folder, record, parts._replace(test=getattr(parts, job.part)))

        fitted = fit(
            run, parts, statistics=statistics, channel_names=frames.channel_names, folder=folder, report=report
        )
    return {
        "scores": scores,
        "seconds": round(perf_counter() - started, 1),
        "train_seconds": round(fitted.cost["cost/train_seconds"], 1),
    }


def _score(folder: Path, record: SavedModel, parts: Parts) -> dict[str, float]:
    """Return the headline metric, and that of each structure channel, of the weights that training has arrived at."""
    learner = build_learner(record.run, _CPU)
    load_training(folder / LAST, learner.module, learner.optimiser)
    model = folder / "scored.safetensors"
    save_model(model, learner.module, record)
    (evaluation,) = evaluate(model, parts, [record.run.tiling])
    return {
        key.removeprefix("test/"): value
        for key, value in evaluation.metrics.items()
        if key == HEADLINE.key or key.startswith(f"{HEADLINE.key}/")
    }


def headline_of(run: Run, steps: int) -> float:
    """Return the headline metric of a run after that many steps."""
    return float(run["scores"][str(steps)][HEADLINE.key.removeprefix("test/")])


def seconds_per_step(job: Job, steps: int = 2) -> float:
    """Return how long a step of this training takes, by some steps on random numbers."""
    run = resolve(job.settings)
    with torch.random.fork_rng(devices=[]):
        learner = build_learner(run, _CPU)
        batch = _random_batch(run)
        take_step(learner, batch, run, epoch=0)
        started = perf_counter()
        for _ in range(steps):
            take_step(learner, batch, run, epoch=0)
        return (perf_counter() - started) / steps


def _random_batch(run: RunConfig) -> Batch:
    model, side = run.model, run.model.patch_px
    sizes = (model.context_levels, model.structure_channels)
    return Batch(*(torch.randn(run.train.batch_size, count, side, side) for count in sizes))


def schedule(steps: int, *, every: int = 100) -> dict[str, int]:
    """Return the settings of a training of so many steps, in epochs of `every` steps or of all.

    Raises
    ------
    ConfigError
        If `steps` is no multiple of `every`, unless it is less.
    """
    length = min(every, steps)
    if steps < 1 or steps % length:
        raise ConfigError(f"--steps {steps}: give a multiple of {every}, or less than {every}")
    return {"train.steps_per_epoch": length, "train.epochs": steps // length}


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _scores_text(run: Run) -> str:
    return ", ".join(f"{headline_of(run, int(steps)):.2f} dB at {steps} steps" for steps in run["scores"])
