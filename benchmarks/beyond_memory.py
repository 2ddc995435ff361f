"""Does a trial train on images that memory may not hold? With a limit on the memory of its process.

    python -m benchmarks.beyond_memory --gigabytes 4 --limit-gb 2

Images are written as TIFF without compression, which is mapped where it is, and as OME-Zarr, which is brought into
another form on the way. A process that may not have more memory of its own than the limit (``RLIMIT_DATA``, which maps
of files do not count for) recognises them, trains for an epoch on three context inputs, and is scored. Its own memory
is looked at ten times a second. Once more, it is to read the images into memory, which must fail.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.results import FOLDER, REPOSITORY, add_run
from benchmarks.trainings import say

_GIGABYTE = 1e9
_FRAME_PX = 1024
_FORMATS = ("tiff", "zarr")


def write_images(folder: Path, kind: str, gigabytes: float) -> Path:
    """Write noise, two channels of 16 bits, a frame at a time."""
    shape = (max(10, round(gigabytes * _GIGABYTE / (2 * 2 * _FRAME_PX**2))), 2, _FRAME_PX, _FRAME_PX)
    generator = np.random.default_rng(0)
    frames = (generator.integers(0, 60_000, shape[1:], np.uint16) for _ in range(shape[0]))
    if kind == "tiff":
        tifffile.imwrite(
            folder / "images.tif", frames, shape=shape, dtype=np.uint16, metadata={"axes": "TCYX"}, bigtiff=True
        )
        return folder / "images.tif"
    import zarr

    group = zarr.open_group(str(folder / "images.zarr"), mode="w", zarr_format=2)
    array = group.create_array("0", shape=shape, chunks=(1, 1, 512, 512), dtype=np.uint16)
    for number, frame in enumerate(frames):
        array[number] = frame
    group.attrs["multiscales"] = [{"version": "0.4", "axes": [*"tcyx"], "datasets": [{"path": "0"}]}]
    return folder / "images.zarr"


def train(images: Path, folder: Path) -> dict[str, float | str]:
    """Return how a trial ends in this process, and how much memory it has of its own at the peak."""
    from study.engine.trial import Assignment, Message, run_trial
    from study.planning.datasets import data_key, read_datasets
    from usplit_core.settings import resolve

    settings = {
        "data.path": str(images), "data.channels": (0, 1), "data.validation_fraction": 0.005,
        "data.test_fraction": 0.005, "model.architecture": "unet", "model.variant": "lean", "model.lc_depth": 3,
        "model.depth": 3, "model.filters": 4, "model.patch_px": 64, "tiling.padding_px": 8,
        "train.epochs": 1, "train.steps_per_epoch": 50, "train.batch_size": 8,
    }  # fmt: skip
    run = resolve(settings)
    own: list[int] = []
    threading.Thread(target=lambda: _watch(own), daemon=True).start()
    dataset = read_datasets([run])[data_key(run.data)]
    said: list[Message] = []
    trial = Assignment(
        *("beyond", 1, "beyond", str(folder), run.model_dump(mode="json"), [run.tiling.model_dump()]),
        content=dataset.content,
        channel_names=list(dataset.channel_names),
        cpus=1,
        gpus=0,
    )
    run_trial(trial, {dataset.content: dataset.sent}, said.append)
    ended = said[-1].get("reason") or said[-1]["kind"]
    return {"ended": str(ended), "images": np.prod(dataset.outline.shape) * 2.0, "own": float(max(own))}


def _watch(own: list[int]) -> None:
    """Note the memory of this process that is in no file, again and again."""
    while True:
        lines = Path("/proc/self/status").read_text().splitlines()
        own.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")))
        time.sleep(0.1)  # between two looks at its memory


def _in_limits(images: Path, folder: Path, limit_gb: float, above_gb: float) -> dict[str, float | str]:
    """Return what `train` returns in a process that may not have more memory of its own."""
    limit = int(limit_gb * _GIGABYTE)
    given = {
        "USPLIT_CACHE": str(folder / "cache"),
        "USPLIT_MAP_ABOVE_GB": str(above_gb),
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.beyond_memory", "--images", str(images)],
        env=os.environ | given,
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"ended": done.stderr.strip().splitlines()[-1]}
    found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Print and keep what was found; return 1 where a trial that maps its images does not finish."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--limit-gb", type=float, default=2.0)
    parser.add_argument("--images", type=Path, help="train on them in this process")
    parser.add_argument("--out", type=Path, default=FOLDER / "beyond_memory.json")
    arguments = parser.parse_args()
    if arguments.images:
        say(json.dumps(train(arguments.images, Path("trial").absolute())))
        return 0
    failed = False
    for kind in _FORMATS:
        with tempfile.TemporaryDirectory() as name:
            images = write_images(Path(name), kind, arguments.gigabytes)
            for what, above_gb in (("mapped", 0.001), ("in memory", 1000.0)):
                folder = Path(name) / what.replace(" ", "_")
                folder.mkdir()
                started = time.perf_counter()
                found = _in_limits(images, folder, arguments.limit_gb, above_gb)
                seconds = time.perf_counter() - started
                failed |= (what == "mapped") != (found["ended"] == "finished")
                say(f"{kind}, {what}: {found} after {seconds:.0f} s")
                key = f"{kind}, {arguments.gigabytes:g} GB, {what}, limit {arguments.limit_gb:g} GB"
                add_run(arguments.out, {}, key, {**found, "seconds": seconds})
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
