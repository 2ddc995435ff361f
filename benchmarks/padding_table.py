"""Score and seams against the padding of tiles, inner beside outer tiling, of one trained network.

    python -m benchmarks.padding_table

Trains a small Lean-LC HVAE on one pair of frames (actin against mitochondria, split by region), or takes the network
that --model names, and predicts the test region under every tiling. USPLIT_DATA names the folder that holds
``hagen_bpae/bpae_60x_noise1_highsnr.tif``.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import torch

from benchmarks.results import FOLDER, Run, add_run, find_folder, load_runs, numbers
from benchmarks.trainings import say, schedule
from usplit_core.checkpoint import load_model
from usplit_core.config import TilingConfig
from usplit_core.data.frames import read_frames
from usplit_core.data.mixing import fit_statistics
from usplit_core.data.splits import split
from usplit_core.errors import UserError
from usplit_core.inference.evaluation import Evaluation, evaluate
from usplit_core.settings import Setting, resolve
from usplit_core.training import fit

FILE = "hagen_bpae/bpae_60x_noise1_highsnr.tif"

SETTINGS: Mapping[str, Setting] = MappingProxyType({
    "data.split": "region",
    "model.variant": "lean",
    "model.lc_depth": 3,
    "model.filters": 16,
    "model.latent_channels": 16,
    "train.batch_size": 8,
})  # fmt: skip

#: Columns of the table: heading, metric, decimals.
_COLUMNS = (
    ("SI-PSNR dB", "test/scale_invariant_psnr_db", 2),
    ("gradient ratio", "test/seam_gradient_ratio", 3),
    ("divergence nats", "test/seam_divergence", 4),
    ("seconds", "test/seconds", 1),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inner", default="0,8,16,24", help="paddings in px")
    parser.add_argument("--outer", default="8,16,32,64", help="paddings in px")
    parser.add_argument("--steps", type=int, default=300, help="of the training")
    parser.add_argument("--model", type=Path, default=None, help="a trained network, to be scored instead")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=FOLDER / "padding_table.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    modes = {"inner": numbers(options.inner), "outer": numbers(options.outer)}
    try:
        runs = score_paddings(modes, steps=options.steps, model=options.model, out=options.out)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    say(table(runs))
    return 0


def score_paddings(modes: Mapping[str, Sequence[int]], *, steps: int, model: Path | None, out: Path) -> dict[str, Run]:
    """Return the metrics of every tiling, by its name; those that `out` has are not computed again.

    Raises
    ------
    UserError
        If the images or the network cannot be used.
    """
    settings = {**SETTINGS, **schedule(steps)} if model is None else {"model": str(model)}
    wanted = {f"{mode}/{padding}": _tiling(mode, padding) for mode, paddings in modes.items() for padding in paddings}
    known = load_runs(out, settings)
    missing = [tiling for key, tiling in wanted.items() if key not in known]
    if missing:
        images = str(find_folder("USPLIT_DATA", "data", FILE) / FILE)

        def keep(evaluation: Evaluation) -> None:
            key = f"{evaluation.tiling.mode}/{evaluation.tiling.padding_px}"
            add_run(out, settings, key, {"metrics": evaluation.metrics})
            say(f"{key} px after {evaluation.metrics['test/seconds']:.0f} s")

        with TemporaryDirectory() as folder:
            path = _train(images, settings, Path(folder)) if model is None else model
            run = load_model(path)[1].run
            frames = read_frames(images, channels=run.data.channels)
            evaluate(path, split(frames.pixels, run.data), missing, on_done=keep)
    found = load_runs(out, settings)
    return {key: found[key] for key in wanted}


def table(runs: Mapping[str, Run]) -> str:
    """Return a line a tiling."""
    lines = [["tiling", "padding px", *(heading for heading, _, _ in _COLUMNS)]]
    for key, run in runs.items():
        mode, padding = key.split("/")
        lines.append([mode, padding, *(f"{run['metrics'][name]:.{places}f}" for _, name, places in _COLUMNS)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


def _tiling(mode: str, padding_px: int) -> TilingConfig:
    return TilingConfig.model_validate({"mode": mode, "padding_px": padding_px})


def _train(images: str, settings: Mapping[str, Setting], folder: Path) -> Path:
    run = resolve({**settings, "data.path": images})
    frames = read_frames(images, channels=run.data.channels)
    parts = split(frames.pixels, run.data)
    fitted = fit(
        run,
        parts,
        statistics=fit_statistics(parts.train, run.data),
        channel_names=frames.channel_names,
        folder=folder,
        report=lambda epoch: say(f"epoch {epoch.epoch}: {epoch.metrics['validation/psnr_db']:.2f} dB"),
    )
    return fitted.model


if __name__ == "__main__":
    sys.exit(main())
