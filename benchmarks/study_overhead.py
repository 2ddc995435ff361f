"""What a study costs beside its trainings: processor time, and time until the first training step.

    python -m benchmarks.study_overhead --trainings 12 --seconds 10

The same trainings and evaluations are computed as a study, with Ray and tracking; one after another in one process; and
for two of them in the way of a script, a process for every configuration and a training for every tiling, from which
the others are extrapolated. Processor time is that of a program and of all that it starts: other work on the machine
disturbs it least. The time to the first step is that of the clock, from the command on, of a study whose first epoch
has one step: it ends when the checkpoint of that epoch is there.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]  # it brings no types
import torch

from benchmarks.results import FOLDER, REPOSITORY, machine
from study import environment
from study.engine.runner import PreparedStudy, prepare
from study.planning.datasets import data_key
from study.planning.design import PlannedTrial
from study.spec import Grid, Study
from usplit_core.config import TilingConfig
from usplit_core.data.mixing import fit_statistics
from usplit_core.data.splits import split
from usplit_core.errors import UserError
from usplit_core.inference.evaluation import evaluate
from usplit_core.training import fit

EPOCHS, TILINGS = 5, (8, 16)
#: Steps a second of the small network, about: what a training of so many seconds is made of.
STEPS_PER_SECOND = 10
#: The study of which the overhead should be small.
TRIALS, TRIAL_SECONDS, TARGET_SHARE, TARGET_FIRST_STEP = 24, 60.0, 0.05, 10.0
POLL_SECONDS = 0.25


class Use(NamedTuple):
    """Seconds that a program took, by the clock and of processors; and until a file was there, if it was waited for."""

    wall: float
    processor: float
    until_file: float | None


def main() -> int:
    """Measure, print and write; return 1 where a target is missed."""
    options = _options()
    if options.alone is not None:
        train(options.alone, options.trainings, options.seconds, only=options.only)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.trainings, options.seconds)
    _say(describe(found))
    content = {"machine": machine(), "load": os.getloadavg()[0], **found}
    options.out.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return int(found["share"] > TARGET_SHARE or found["first_step_s"] > TARGET_FIRST_STEP)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trainings", type=int, default=12, help="an even number")
    parser.add_argument("--seconds", type=float, default=10.0, help="of one training, about")
    parser.add_argument("--out", type=Path, default=FOLDER / "study_overhead.json")
    parser.add_argument("--alone", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--only", type=int, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trainings < 2 or options.trainings % 2:
        raise UserError(f"--trainings {options.trainings}: give an even number, from 2 on")
    return options


def study_of(trainings: int, seconds: float) -> Study:
    """Return a study of two configurations, half of the trainings each."""
    return Study(
        name="overhead",
        question="What does a study cost beside its trainings?",
        base={
            "data.path": "synthetic:critters-n0?frames=12", "model.variant": "lean", "model.depth": 3,
            "model.filters": 16, "model.latent_channels": 16, "train.epochs": EPOCHS, "train.batch_size": 4,
            "train.steps_per_epoch": max(1, round(seconds * STEPS_PER_SECOND / EPOCHS)),
            "train.early_stop_patience": None,
        },
        train={"model.lc_depth": Grid(1, 2)},
        evaluate={"tiling.padding_px": Grid(*TILINGS)},
        replicates=trainings // 2,
    )  # fmt: skip


def measure(folder: Path, trainings: int, seconds: float) -> dict[str, Any]:
    """Return what the study and the two other ways took."""
    space = folder / "overhead.py"
    space.write_text(f"from benchmarks.study_overhead import study_of\n\nSTUDY = study_of({trainings}, {seconds})\n")
    run = (sys.executable, "-m", "study", "run", str(space), "--store")
    shortest = [f"--set={name}=1" for name in ("train.epochs", "train.steps_per_epoch", "replicates")]
    alone = (sys.executable, "-m", "benchmarks.study_overhead", f"--trainings={trainings}", f"--seconds={seconds}")
    watch([*run, str(folder / "warm"), *shortest])  # the machine has its libraries in memory
    first = watch([*run, str(folder / "first"), *shortest], awaited=(folder / "first", "last.safetensors"))
    study = watch([*run, str(folder / "store")])
    one_process = watch([*alone, f"--alone={folder / 'alone'}"])
    scripts = [watch([*alone, f"--alone={folder / f'script{index}'}", f"--only={index}"]) for index in range(2)]
    per_trial = (study.processor - one_process.processor) / trainings
    script = sum(use.processor for use in scripts) / len(scripts)
    return {
        "trainings": trainings,
        "seconds": seconds,
        "study": study._asdict(),
        "one_process": one_process._asdict(),
        "script_processor_s": script,
        "overhead_s_a_training": per_trial,
        "share": per_trial / (TRIAL_SECONDS + per_trial),
        "first_step_s": first.until_file,
        "times_the_scripts": script * trainings * len(TILINGS) / study.processor,
    }


def describe(found: dict[str, Any]) -> str:
    """Return the result in sentences, and as a table."""
    own, alone = found["study"], found["one_process"]
    return (
        "| | processor s | clock s |\n|---|---|---|\n"
        f"| study of {found['trainings']} trainings | {own['processor']:.0f} | {own['wall']:.0f} |\n"
        f"| the same in one process | {alone['processor']:.0f} | {alone['wall']:.0f} |\n"
        f"| one script of one training and one tiling | {found['script_processor_s']:.0f} | – |\n\n"
        f"Overhead {found['overhead_s_a_training']:.1f} s a training, start and end of the study included: "
        f"at most {100 * found['share']:.1f} % of {TRIALS} trials of one minute (target: {100 * TARGET_SHARE:.0f} %).\n"
        f"First training step after {found['first_step_s']:.1f} s (target: {TARGET_FIRST_STEP:.0f} s).\n"
        f"A script for every configuration and tiling takes {found['times_the_scripts']:.2f} times as much."
    )


def watch(command: Sequence[str], *, awaited: tuple[Path, str] | None = None) -> Use:
    """Run a program; return what it and all that it started took.

    Parameters
    ----------
    awaited
        Folder and name of a file: the time until it is somewhere in there is told too.

    Raises
    ------
    UserError
        If the program fails.
    """
    start, until_file, taken = time.perf_counter(), None, dict[int, float]()
    program = psutil.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while program.poll() is None:
        for process in (program, *_below(program)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                taken[process.pid] = times.user + times.system
        if awaited is not None and until_file is None and any(awaited[0].rglob(awaited[1])):
            until_file = time.perf_counter() - start
        # The process tree is looked at, since nothing tells when it changes.
        time.sleep(POLL_SECONDS if awaited is None else POLL_SECONDS / 10)
    if program.returncode:
        raise UserError(f"{' '.join(command)} has failed: run it by itself to see why")
    return Use(time.perf_counter() - start, sum(taken.values()), until_file)


def _below(program: psutil.Process) -> list[psutil.Process]:
    try:
        return list(program.children(recursive=True))
    except psutil.Error:  # it has just ended
        return []


def train(folder: Path, trainings: int, seconds: float, *, only: int | None) -> None:
    """Compute the trainings and evaluations of the study here; `only` one of them, under one tiling."""
    environment.set_defaults()
    torch.set_num_threads(1)
    prepared = prepare(study_of(trainings, seconds))
    trials = prepared.trials if only is None else [prepared.trials[only * (len(prepared.trials) - 1)]]
    for number, trial in enumerate(trials):
        _train_one(prepared, trial, folder / str(number), trial.tilings if only is None else trial.tilings[:1])


def _train_one(prepared: PreparedStudy, trial: PlannedTrial, folder: Path, tilings: Sequence[TilingConfig]) -> None:
    dataset = prepared.datasets[data_key(trial.run.data)]
    parts = split(dataset.frames.pixels, trial.run.data)
    fitted = fit(
        trial.run,
        parts,
        statistics=fit_statistics(parts.train, trial.run.data),
        channel_names=dataset.frames.channel_names,
        folder=folder,
        report=lambda _: None,
    )
    evaluate(fitted.model, parts, tilings)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
