"""What a study costs beside its trainings: processor time, and time until the first training step.

    python -m benchmarks.study_overhead --trainings 12 --seconds 10

The same trainings and evaluations are computed as a study, with Ray and tracking; one after another in one process; and
for two of them in the way of a script, a process for every configuration and a training for every tiling, from which
the others are extrapolated. Processor time is that of a program and of all that it starts: other work on the machine
disturbs it least. The time to the first step is that of the clock, from the command on, of a study whose first epoch
has one step: it ends when the checkpoint of that epoch is there. It is measured in a store that the study makes, and in
one that holds another study; the median of three is told, with the processor time until then.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]  # it brings no types
import torch

from benchmarks.overhead_space import TILINGS, study_of
from benchmarks.results import FOLDER, REPOSITORY, machine
from study import environment
from study.engine.runner import PreparedStudy, prepare
from study.planning.datasets import data_key
from study.planning.design import PlannedTrial
from usplit_core.config import TilingConfig
from usplit_core.data.mixing import fit_statistics
from usplit_core.data.splits import split
from usplit_core.errors import UserError
from usplit_core.inference.evaluation import evaluate
from usplit_core.training import fit

#: The study of which the overhead should be small.
TRIALS, TRIAL_SECONDS, TARGET_SHARE, TARGET_FIRST_STEP = 24, 60.0, 0.05, 10.0
POLL_SECONDS, START_REPEATS = 0.25, 3


class Use(NamedTuple):
    """Seconds that a program took, by the clock and of processors; and both until an awaited file was there."""

    wall: float
    processor: float
    until_file: float | None
    processor_until_file: float | None


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


def measure(folder: Path, trainings: int, seconds: float) -> dict[str, Any]:
    """Return what the study and the two other ways took."""
    space = folder / "overhead.py"
    space.write_text(f"from benchmarks.overhead_space import study_of\n\nSTUDY = study_of({trainings}, {seconds})\n")
    run = (sys.executable, "-m", "study", "run", str(space), "--store")
    alone = (sys.executable, "-m", "benchmarks.study_overhead", f"--trainings={trainings}", f"--seconds={seconds}")
    starts = measure_starts(run, folder)
    study = watch([*run, str(folder / "store")])
    one_process = watch([*alone, f"--alone={folder / 'alone'}"])
    scripts = [watch([*alone, f"--alone={folder / f'script{index}'}", f"--only={index}"]) for index in range(2)]
    overhead = study.processor - one_process.processor
    start_and_end = statistics.median(use.processor for use in starts["known store"])
    of_study = start_and_end + TRIALS * max(0.0, overhead - start_and_end) / trainings
    script = sum(use.processor for use in scripts) / len(scripts)
    return {
        "trainings": trainings,
        "seconds": seconds,
        "study": study._asdict(),
        "one_process": one_process._asdict(),
        "script_processor_s": script,
        "overhead_s": overhead,
        "start_and_end_s": start_and_end,
        "overhead_of_study_s": of_study,
        "share": of_study / (TRIALS * TRIAL_SECONDS + of_study),
        "first_step_s": statistics.median(use.until_file or 0.0 for use in starts["known store"]),
        "starts": {name: [use._asdict() for use in uses] for name, uses in starts.items()},
        "times_the_scripts": script * trainings * len(TILINGS) / study.processor,
    }


def measure_starts(run: Sequence[str], folder: Path) -> dict[str, list[Use]]:
    """Return what the start of a study took, in a store that is new and in one that is not, in turn."""
    shortest = [f"--set={name}=1" for name in ("train.epochs", "train.steps_per_epoch", "replicates")]
    watch([*run, str(folder / "warm"), *shortest])  # the machine has its libraries in memory
    uses: dict[str, list[Use]] = {"new store": [], "known store": []}
    for number in range(START_REPEATS):
        store = folder / f"start{number}"
        for name, settings in (("new store", shortest), ("known store", [*shortest, "--set=model.filters=12"])):
            uses[name].append(watch([*run, str(store), *settings], awaited=(store, "last.safetensors")))
    return uses


def describe(found: dict[str, Any]) -> str:
    """Return the result in sentences, and as a table."""
    own, alone = found["study"], found["one_process"]
    return (
        "| | processor s | clock s |\n|---|---|---|\n"
        f"| study of {found['trainings']} trainings | {own['processor']:.0f} | {own['wall']:.0f} |\n"
        f"| the same in one process | {alone['processor']:.0f} | {alone['wall']:.0f} |\n"
        f"| one script of one training and one tiling | {found['script_processor_s']:.0f} | – |\n\n"
        f"Measured: overhead {found['overhead_s']:.0f} s of the processor, of which a study of two trainings of one "
        f"step takes {found['start_and_end_s']:.0f} s. Computed from it: {found['overhead_of_study_s']:.0f} s, "
        f"{100 * found['share']:.1f} % of {TRIALS} trials of one minute (target: {100 * TARGET_SHARE:.0f} %).\n"
        f"First training step after {found['first_step_s']:.1f} s (target: {TARGET_FIRST_STEP:.0f} s), "
        f"{_median(found, 'new store', 'until_file'):.1f} s in a new store; processors worked "
        f"{_median(found, 'known store', 'processor_until_file'):.1f} and "
        f"{_median(found, 'new store', 'processor_until_file'):.1f} s until then.\n"
        f"A script for every configuration and tiling takes {found['times_the_scripts']:.2f} times as much."
    )


def _median(found: dict[str, Any], store: str, what: str) -> float:
    return statistics.median(float(use[what]) for use in found["starts"][store])


def watch(command: Sequence[str], *, awaited: tuple[Path, str] | None = None) -> Use:
    """Run a program; return what it and all that it started took.

    Parameters
    ----------
    awaited
        Folder and name of a file: the time until another one is somewhere in there is told too.

    Raises
    ------
    UserError
        If the program fails.
    """
    known = _count(awaited)
    start, until_file, processor_until_file, taken = time.perf_counter(), None, None, dict[int, float]()
    program = psutil.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while program.poll() is None:
        for process in (program, *_below(program)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                taken[process.pid] = times.user + times.system
        if until_file is None and _count(awaited) > known:
            until_file, processor_until_file = time.perf_counter() - start, sum(taken.values())
        # The process tree is looked at, since nothing tells when it changes.
        time.sleep(POLL_SECONDS if awaited is None else POLL_SECONDS / 10)
    if program.returncode:
        raise UserError(f"{' '.join(command)} has failed: run it by itself to see why")
    return Use(time.perf_counter() - start, sum(taken.values()), until_file, processor_until_file)


def _count(awaited: tuple[Path, str] | None) -> int:
    return 0 if awaited is None else sum(1 for _ in awaited[0].rglob(awaited[1]))


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
