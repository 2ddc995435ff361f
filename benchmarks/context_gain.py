"""What lateral context gains: the same small network with and without it, after equally many steps.

    python -m benchmarks.context_gain --tasks critters --seeds 0,1,2 --processes 2

Two tasks: sinusoidal critters, which no network can split without context that a patch does not show, and actin against
mitochondria (Hagen et al. 2021, one pair of frames at 60x, split by region), which lies in ``hagen_bpae`` of the folder
that USPLIT_DATA names. A gain is the difference in scale-invariant PSNR of the test frames between two trainings of one
seed, Lean-LC and vanilla. Its interval is Student's t interval of these differences: it speaks of other seeds, not of
other images.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from scipy.stats import t as student_t

from benchmarks.results import FOLDER, Run, add_run, find_folder, load_runs, mean_and_deviation, numbers
from benchmarks.trainings import Job, headline_of, run_jobs, say, schedule
from usplit_core.errors import ConfigError, UserError, nearest
from usplit_core.presets import DATA_SETS
from usplit_core.settings import Setting

SETTINGS: Mapping[str, Setting] = MappingProxyType({
    "model.filters": 16,
    "model.latent_channels": 16,
    "model.patch_px": 64,
    "train.batch_size": 8,
    "tiling.padding_px": 16,
})  # fmt: skip

NETWORKS: Mapping[str, Mapping[str, Setting]] = MappingProxyType({
    "vanilla": {"model.variant": "vanilla"},
    "lean":    {"model.variant": "lean", "model.lc_depth": 3},
})  # fmt: skip

#: The frames of the pair are split into 1280, 256 and 512 columns, so that the test part holds a whole context input.
TASKS: Mapping[str, Mapping[str, Setting]] = MappingProxyType({
    "critters": {**DATA_SETS["critters_n0"], "data.path": "synthetic:critters-n0?frames=100"},
    "hagen":    {"data.split": "region", "data.validation_fraction": 0.125, "data.test_fraction": 0.25},
})  # fmt: skip

HAGEN_FILE = "hagen_bpae/bpae_60x_noise1_highsnr.tif"
CONFIDENCE = 0.95


class Gain(NamedTuple):
    """Mean difference of paired trainings, dB, and its interval; None where one pair cannot tell it."""

    mean: float
    interval: tuple[float, float] | None
    seeds: tuple[str, ...]


def jobs_of(task: str, seeds: Sequence[int], *, steps: int, threads: int) -> list[Job]:
    """Return one job a network and seed.

    Raises
    ------
    UserError
        If there is no such task, or its images are not there.
    """
    if task not in TASKS:
        raise ConfigError(f"--tasks {task}: there is no such task; {nearest(task, TASKS)}")
    lengths = schedule(steps)
    base: dict[str, Setting] = {**SETTINGS, **TASKS[task], **lengths}
    if task == "hagen":
        base["data.path"] = str(find_folder("USPLIT_DATA", "data", HAGEN_FILE) / HAGEN_FILE)
    last = (lengths["train.epochs"],)
    return [
        Job(f"{task}/{network}/{seed}", {**base, **settings, "train.seed": seed}, "test", last, threads)
        for network, settings in NETWORKS.items()
        for seed in seeds
    ]


def gain_of(runs: Mapping[str, Run], task: str, steps: int) -> Gain | None:
    """Return the gain of context in a task over the seeds that both networks have; None where there are none."""
    plain, context = (_by_seed(runs, task, network, steps) for network in ("vanilla", "lean"))
    seeds = tuple(sorted(plain.keys() & context.keys(), key=int))
    differences = [context[seed] - plain[seed] for seed in seeds]
    if not differences:
        return None
    mean = statistics.fmean(differences)
    if len(differences) == 1:
        return Gain(mean, None, seeds)
    standard_error = statistics.stdev(differences) / len(differences) ** 0.5
    reach = float(student_t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * standard_error
    return Gain(mean, (mean - reach, mean + reach), seeds)


def _by_seed(runs: Mapping[str, Run], task: str, network: str, steps: int) -> dict[str, float]:
    prefix = f"{task}/{network}/"
    return {key.removeprefix(prefix): headline_of(run, steps) for key, run in runs.items() if key.startswith(prefix)}


def report(runs: Mapping[str, Run], steps: int) -> str:
    """Return the gains as a Markdown table, whatever they are."""
    lines = [
        f"| task, {steps} steps | vanilla, dB | Lean-LC, dB | gain, dB | 95 % interval (Student's t, paired) | n |",
        "|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        gain = gain_of(runs, task, steps)
        if gain is None:
            continue
        scores = [_by_seed(runs, task, network, steps) for network in ("vanilla", "lean")]
        both = [mean_and_deviation([values[seed] for seed in gain.seeds]) for values in scores]
        interval = "–" if gain.interval is None else f"[{gain.interval[0]:+.2f}, {gain.interval[1]:+.2f}]"
        lines.append(f"| {task} | {both[0]} | {both[1]} | {gain.mean:+.2f} | {interval} | {len(gain.seeds)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing in the results file and print the gains."""
    options = _parse(arguments)
    varied = {"networks": dict(NETWORKS), "tasks": dict(TASKS)}
    identity = {"benchmark": "context_gain", **SETTINGS, **schedule(options.steps), **varied}
    there = load_runs(options.out, identity)
    add = partial(add_run, options.out, identity)
    jobs = [
        job
        for task in options.tasks
        for job in jobs_of(task, options.seeds, steps=options.steps, threads=options.threads)
    ]
    missing = [job for job in jobs if job.key not in there]
    say(f"{len(jobs)} trainings asked for, {len(jobs) - len(missing)} of them in {options.out}")
    run_jobs(missing, options.processes, lambda job, run: add(job.key, run))
    say(f"\n{report(load_runs(options.out, identity), options.steps)}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context_gain", description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS), help="critters,hagen")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2], help="such as 0,1,2")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time")
    parser.add_argument("--out", type=Path, default=FOLDER / "context_gain.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
