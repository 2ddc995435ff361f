"""Peak memory of splitting a frame that need not fit into memory, and whether the result is that of memory.

Splits a file of SIDE x SIDE px with an untrained network in a process of its own, and measures its peak memory. Then
splits two crops, one at the corner of the frame and one inside it, in memory, and compares what neither of them sees
beyond the crop.

    python benchmarks/large_prediction.py --side 16384 --threads 2 --format ome-zarr

Without --format both files are TIFF. Ends with exit code 1 where the peak is above --limit-gb or a crop differs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch
import zarr
from numpy.typing import NDArray

from usplit_core.checkpoint import SavedModel, save_model
from usplit_core.config import TilingConfig
from usplit_core.data.frames import read_frames
from usplit_core.data.image_files import open_image
from usplit_core.data.mixing import Statistics
from usplit_core.inference.file_prediction import split_file
from usplit_core.inference.prediction import Splitter
from usplit_core.models import build
from usplit_core.settings import resolve

#: Deterministic, so that a crop can equal the whole; small, and with large tiles, to be done in minutes.
MODEL = {
    "data.path": "none.tif",
    "model.architecture": "hae",
    "model.variant": "lean",
    "model.lc_depth": 2,
    "model.depth": 2,
    "model.filters": 2,
    "model.latent_channels": 4,
    "model.patch_px": 256,
}
TILING = TilingConfig(padding_px=16)
#: Image and result in each format.
FILES = {"ome-tiff": ("image.tif", "split.ome.tif"), "ome-zarr": ("image.zarr", "split.ome.zarr")}
ROWS = 256
CROP_PX = 2048
KEPT_PX = 256 - 2 * TILING.padding_px
#: How far a prediction sees: half the widest context of 4 x 256 px, and a tile.
REACH_PX = 512 + KEPT_PX


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=16_384, help="of the frame in px: a multiple of 256 from 4096 on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit-gb", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, default=None, help="for some GB of files; without it, a temporary one")
    parser.add_argument("--format", choices=FILES, default="ome-tiff", help="of the image and of the result")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _split(options.folder, options.format, options.threads)
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        return _measure(Path(name), options)


def _measure(folder: Path, options: argparse.Namespace) -> int:
    side, threads, limit_gb = options.side, options.threads, options.limit_gb
    image, result = (folder / name for name in FILES[options.format])
    _write_model(folder / "model.safetensors")
    (_write_zarr if options.format == "ome-zarr" else _write_tiff)(image, side)
    flags = {"--folder": folder, "--format": options.format, "--threads": threads}
    command = [sys.executable, __file__, "--child", *(str(part) for flag in flags.items() for part in flag)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    whole = read_frames(str(result)).pixels[0]
    differences = [
        _difference(folder / "model.safetensors", image, whole, start) for start in (0, side // 2 // KEPT_PX * KEPT_PX)
    ]
    sys.stdout.write(
        f"{side} x {side} px, {threads} threads: {found['seconds']:.0f} s, peak memory {found['peak_gb']:.2f} GB "
        f"(limit {limit_gb:g}), largest difference from memory {max(differences):.1e} of the deviation\n"
    )
    return int(found["peak_gb"] > limit_gb or max(differences) > 1e-4)


def _write_model(path: Path) -> None:
    torch.manual_seed(0)
    run = resolve(MODEL)
    statistics = Statistics((4000.0,) * 2, 0.0, (0.5, 0.5), 1000.0, 400.0, (1000.0,) * 2, (400.0,) * 2)
    save_model(path, build(run.model), SavedModel(run, statistics, {}, {}, 0, "benchmark", ("first", "second")))


def _write_tiff(path: Path, side: int) -> None:
    tifffile.imwrite(
        path, _strips(side), shape=(side, side), dtype=np.uint16, rowsperstrip=ROWS, photometric="minisblack"
    )


def _write_zarr(path: Path, side: int) -> None:
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    array = group.create_array("0", shape=(side, side), chunks=(ROWS, ROWS), dtype=np.uint16)
    for row, strip in enumerate(_strips(side)):
        array[row * ROWS : (row + 1) * ROWS] = strip
    group.attrs["multiscales"] = [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}]


def _strips(side: int) -> Iterator[NDArray[np.uint16]]:
    """Yield strips of an image that is new everywhere."""
    random = np.random.default_rng(0)
    for _ in range(0, side, ROWS):
        yield random.integers(0, 4000, (ROWS, side), np.uint16)


def _split(folder: Path, file_format: str, threads: int) -> None:
    """Split the file, and write time and peak memory of this process to the standard output."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    name, result = FILES[file_format]
    with open_image(str(folder / name)) as image:
        split_file(Splitter.load(folder / "model.safetensors"), image, folder / result, tiling=TILING)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_gb": peak / 1e9}))


def _difference(model: Path, file: Path, whole: NDArray[np.float32], start: int) -> float:
    """Return the largest difference of a crop from `start` on, along both axes, over the deviation of the result.

    Crops start where tiles do.
    """
    end = start + CROP_PX
    with open_image(str(file)) as image:
        crop = image.read(0, start, end)[:, start:end]
    expected = Splitter.load(model).split(crop, tiling=TILING)
    inside = slice(REACH_PX if start else 0, CROP_PX - REACH_PX)
    found = whole[:, start:end, start:end]
    return float(np.abs(found - expected)[:, inside, inside].max() / expected.std())


if __name__ == "__main__":
    sys.exit(main())
