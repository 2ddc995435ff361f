"""Quality at equal steps: this package beside the authors' implementation, on the same images with the same settings.

    python -m benchmarks.convergence --seeds 0,1,2,3,4 --variants vanilla,regular --processes 2

Scale-invariant PSNR of the validation frames (inner tiling, 16 px, one posterior sample) after 100, 200 and 300 steps,
of HVAEs with 32 filters. The images, and what the authors' implementation reached on them, are in the folder
``convergence`` of the reference that USPLIT_REFERENCE names. Their numbers are of one or two seeds, whose spread is
more than 1 dB: beside them a gross difference would be seen, and no more.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from benchmarks.results import FOLDER, Run, add_run, find_folder, load_runs, mean_and_deviation, numbers
from benchmarks.trainings import Job, headline_of, run_jobs, say, schedule
from usplit_core.errors import UserError
from usplit_core.settings import Setting

FILES = ("ch1_filaments.tif", "ch2_blobs.tif")

SETTINGS: Mapping[str, Setting] = MappingProxyType({
    "data.split": "frame",
    "model.filters": 32,
    "model.latent_channels": 32,
    "model.patch_px": 64,
    "model.dropout": 0.1,
    "train.batch_size": 8,
    "train.learning_rate": 1e-3,
    "train.gradient_clip": 0.5,
    "train.gradient_clip_by": "value",
    "tiling.mode": "inner",
    "tiling.padding_px": 16,
    "tiling.samples": 1,
})  # fmt: skip

#: Variant -> steps -> dB of each seed of the authors' implementation, on a CPU in float32.
AUTHORS: Mapping[str, Mapping[int, tuple[float, ...]]] = MappingProxyType({
    "vanilla": {100: (19.10, 18.36), 200: (20.44, 22.09), 300: (23.97, 25.12)},
    "regular": {100: (18.96,),       200: (21.95,),       300: (25.54,)},
})  # fmt: skip


def jobs_of(
    images: tuple[str, ...], variants: Sequence[str], seeds: Sequence[int], *, steps: int, threads: int
) -> list[Job]:
    """Return one job a variant and seed."""
    lengths = schedule(steps)
    epochs = tuple(range(1, lengths["train.epochs"] + 1))
    base: dict[str, Setting] = {**SETTINGS, **lengths, "data.path": images}
    return [
        Job(f"{variant}/{seed}", {**base, "model.variant": variant, "train.seed": seed}, "validation", epochs, threads)
        for variant in variants
        for seed in seeds
    ]


def table(runs: Mapping[str, Run]) -> str:
    """Return the scores as a Markdown table: mean and standard deviation over seeds, n, and the authors' numbers."""
    lines = [
        "| network | steps | this package, dB | n | authors' implementation, dB of each seed |",
        "|---|---|---|---|---|",
    ]
    for variant in dict.fromkeys([*AUTHORS, *(key.partition("/")[0] for key in runs)]):
        of_variant = [run for key, run in runs.items() if key.partition("/")[0] == variant]
        for steps in sorted({int(steps) for run in of_variant for steps in run["scores"]}):
            values = [headline_of(run, steps) for run in of_variant if str(steps) in run["scores"]]
            theirs = ", ".join(f"{value:.2f}" for value in AUTHORS.get(variant, {}).get(steps, ())) or "–"
            lines.append(f"| {variant} | {steps} | {mean_and_deviation(values)} | {len(values)} | {theirs} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing in the results file and print the table."""
    options = _parse(arguments)
    folder = find_folder("USPLIT_REFERENCE", "reference", "convergence/ch1_filaments.tif") / "convergence"
    images = tuple(str(folder / name) for name in FILES)
    jobs = jobs_of(images, options.variants, options.seeds, steps=options.steps, threads=options.threads)
    identity = {"benchmark": "convergence", **SETTINGS, **schedule(options.steps)}
    there = load_runs(options.out, identity)
    add = partial(add_run, options.out, identity)
    missing = [job for job in jobs if job.key not in there]
    say(f"{len(jobs)} trainings asked for, {len(jobs) - len(missing)} of them in {options.out}")
    run_jobs(missing, options.processes, lambda job, run: add(job.key, run))
    say(f"\n{table(load_runs(options.out, identity))}\n\nScale-invariant PSNR, mean ± standard deviation over n seeds.")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convergence", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2, 3, 4], help="such as 0,1,2")
    parser.add_argument("--variants", type=lambda text: text.split(","), default=list(AUTHORS), help="vanilla,regular")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--processes", type=int, default=1, help="trainings at a time")
    parser.add_argument("--out", type=Path, default=FOLDER / "convergence.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
