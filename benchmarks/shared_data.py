"""Do the trials of a node share its images? Four trials on one node, over a data set of 1 GB.

    python -m benchmarks.shared_data --gigabytes 1

Networks are tiny, so that what is measured is the data. Memory is what Linux says of each worker in smaps_rollup: its
proportional set size (PSS), in which a page that several processes share is divided among them, and of it the part that
is its own. The same trials over a data set of some megabytes show what a trial needs without data.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from benchmarks.clusters import cluster, run_on_cluster
from benchmarks.results import FOLDER, add_run
from benchmarks.trainings import say
from study.engine.driver import Driver
from study.engine.trial import Message
from study.spec import Grid, Study

_TRIALS = 4
_GIGABYTE = 1e9
#: Room that the issue allows beside the data and what the trials need without data.
_MARGIN = 0.3
_FRAME_PX = 1024


class Found(NamedTuple):
    """What was measured of a study."""

    trials: list["Memory"]
    driver: "Memory"
    shared_files: int
    """Bytes in files that trials map: levels of context, and frames that could not be used as they are."""


class Memory(NamedTuple):
    """Bytes of one process: its proportional set size, and what of it is in no file, in shared memory, in files."""

    pss: int
    own: int
    shared: int
    files: int


def memory_of(process: int) -> Memory:
    """Return the memory of a process at this moment."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return Memory(*(1024 * kilobytes[name] for name in ("Pss", "Pss_Anon", "Pss_Shmem", "Pss_File")))


def write_images(path: Path, gigabytes: float) -> None:
    """Write noise: frames of two channels, 16 bits a pixel."""
    generator = np.random.default_rng(0)
    frames = max(10, round(gigabytes * _GIGABYTE / (2 * 2 * _FRAME_PX**2)))
    stack = generator.integers(0, 60_000, (frames, 2, _FRAME_PX, _FRAME_PX), np.uint16)
    tifffile.imwrite(path, stack, metadata={"axes": "TCYX"}, bigtiff=True)


def study_of(path: Path, lc_depth: int, split: str) -> Study:
    """Return four trials that differ in their seed alone and train for long enough to be looked at."""
    part = 0.02 if split == "frame" else 0.1
    return Study(
        name="shared_data",
        question="Do trials share the images?",
        base={
            "data.path": str(path), "data.axes": "TCYX", "data.channels": (0, 1), "data.split": split,
            "data.validation_fraction": part, "data.test_fraction": part,
            "model.architecture": "unet", "model.variant": "lean" if lc_depth else "vanilla",
            "model.lc_depth": lc_depth, "model.depth": max(1, lc_depth), "model.filters": 2, "model.patch_px": 64,
            "train.epochs": 50, "train.steps_per_epoch": 2, "train.batch_size": 4,
        },
        evaluate={"tiling.padding_px": Grid(8)},
        replicates=_TRIALS,
    )  # fmt: skip


def measure(study: Study, address: str, folder: Path, cache: Path) -> Found:
    """Return what is found when all trials have trained for an epoch; end the study."""
    processes: dict[str, int] = {}
    trained: set[str] = set()
    found: list[Found] = []

    def look(driver: Driver, message: Message) -> None:
        if message["kind"] == "started":
            processes[message["fingerprint"]] = message["process"]
        if message["kind"] == "epoch":
            trained.add(message["fingerprint"])
        if len(trained) == _TRIALS and not found:
            files = sum(path.stat().st_size for path in cache.rglob("*.array"))
            found.append(Found([memory_of(one) for one in processes.values()], memory_of(os.getpid()), files))
            driver.stop_reason = "all is measured"

    run_on_cluster(study, address, folder, look)
    return found[0]


def main() -> int:
    """Print and keep the memory of the trials; return 1 where it is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--lc-depth", type=int, default=0)
    parser.add_argument("--split", default="frame", help="frame or region")
    parser.add_argument("--out", type=Path, default=FOLDER / "shared_data.json")
    arguments = parser.parse_args()
    totals = {}
    with tempfile.TemporaryDirectory() as name:
        for what, gigabytes in (("little data", 0.02), ("much data", arguments.gigabytes)):
            folder = Path(name) / what.replace(" ", "_")
            folder.mkdir()
            os.environ["USPLIT_CACHE"] = str(folder / "cache")
            write_images(folder / "images.tif", gigabytes)
            size = (folder / "images.tif").stat().st_size
            with cluster(0, head_cpus=_TRIALS, shared_bytes=size) as address:
                study = study_of(folder / "images.tif", arguments.lc_depth, arguments.split)
                found = measure(study, address, folder / "store", folder / "cache")
            # The driver has put the images there, so a part of each page counts as its own.
            totals[what] = (sum(memory.pss for memory in found.trials) + found.driver.shared) / _GIGABYTE
            files = found.shared_files / _GIGABYTE
            for number, memory in enumerate(found.trials):
                pss, own, shared, mapped = (bytes_ / _GIGABYTE for bytes_ in memory)
                parts = f"own {own:.2f} GB, of shared memory {shared:.2f} GB, of files {mapped:.2f} GB"
                say(f"{what}, trial {number}: PSS {pss:.2f} GB: {parts}")
            say(f"{what}, driver: own {found.driver.own / _GIGABYTE:.2f} GB")
    say(f"files that the trials share: {files:.2f} GB")
    limit = arguments.gigabytes + _MARGIN + totals["little data"]
    say(f"together {totals['much data']:.2f} GB; data, {_MARGIN} GB and trials without data are {limit:.2f} GB")
    key = f"{arguments.gigabytes:g} GB/lc_depth {arguments.lc_depth}/split by {arguments.split}"
    add_run(arguments.out, {"trials": _TRIALS}, key, {**totals, "limit": limit, "shared files": files})
    return int(totals["much data"] > limit)


if __name__ == "__main__":
    sys.exit(main())
