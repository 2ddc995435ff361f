"""Our side of a speed measurement; see `benchmarks.speed_subject`."""

import sys

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed_subject import (
    BATCH_SIZE,
    BATCHES,
    FRAME_PX,
    FRAMES,
    PADDING_PX,
    PATCH_PX,
    TILED_SHAPE,
    TILES,
    Case,
    Work,
    serve,
    training_pair,
)
from usplit_core.config import RunConfig
from usplit_core.data.mixing import Statistics
from usplit_core.data.sampling import Batch, PatchSource
from usplit_core.inference.tile_prediction import predict_frame, windows_of
from usplit_core.learner import build_learner, take_step
from usplit_core.models import Network
from usplit_core.settings import resolve

#: Steps of a repetition of the small training.
SMALL_STEPS = 10
STATISTICS = Statistics((4000.0,) * 2, 0.0, (0.5, 0.5), 2000.0, 1000.0, (2000.0,) * 2, (1000.0,) * 2)


def prepare(case: Case) -> Work:
    """Return the work of a case."""
    return {"step": training_step, "batch": batches, "tiles": tiles, "small": small_training}[case.task](case)


def run_of(case: Case) -> RunConfig:
    """Return the run that the case measures."""
    return resolve({
        "data.path": "none.tif",
        "model.variant": case.variant,
        "train.precision": case.precision,
        "tiling.precision": case.precision,
        "train.batch_size": BATCH_SIZE,
        "tiling.padding_px": PADDING_PX,
    })  # fmt: skip


def training_step(case: Case) -> Work:
    """Forward, backward and optimiser."""
    run = run_of(case)
    learner = build_learner(run, torch.device(case.device))
    batch = Batch(*training_pair(case.variant, case.device))

    def step() -> None:
        take_step(learner, batch, run, epoch=0)

    with FlopCounterMode(display=False) as counter:
        step()
    return Work(step, BATCH_SIZE, flops=counter.get_total_flops())


def small_training(case: Case) -> Work:
    """Steps of a network that is too small to occupy a GPU, with the batches that they are taken on."""
    run = resolve({
        "data.path": "none.tif", "model.variant": case.variant, "model.filters": 16, "model.latent_channels": 16,
        "train.precision": case.precision, "train.batch_size": BATCH_SIZE,
    })  # fmt: skip
    learner = build_learner(run, torch.device(case.device))
    pixels = np.random.default_rng(0).integers(0, 4000, (1, 2, FRAME_PX, FRAME_PX), np.uint16)
    source = PatchSource.from_frames(pixels, STATISTICS, run.data, lc_depth=run.model.lc_depth, device=case.device)

    def train() -> None:
        for batch in source.training_batches(0, range(SMALL_STEPS), batch_size=BATCH_SIZE, patch_px=PATCH_PX):
            take_step(learner, batch, run, epoch=0)

    train()
    return Work(train, SMALL_STEPS * BATCH_SIZE)


def batches(case: Case) -> Work:
    """Random training batches."""
    run = run_of(case)
    pixels = np.random.default_rng(0).integers(0, 4000, (FRAMES, 2, FRAME_PX, FRAME_PX), np.uint16)
    source = PatchSource.from_frames(pixels, STATISTICS, run.data, lc_depth=run.model.lc_depth, device=case.device)

    def draw() -> Batch:
        for batch in source.training_batches(0, range(BATCHES), batch_size=BATCH_SIZE, patch_px=PATCH_PX):
            drawn = batch
        return drawn

    return Work(draw, BATCHES * BATCH_SIZE, bytes=BATCHES * sum(tensor.nbytes for tensor in draw()))


def tiles(case: Case) -> Work:
    """Predict a frame: gather tiles, predict, keep their middle, stitch."""
    run = run_of(case)
    module = build_learner(run, torch.device(case.device)).module
    image = np.random.default_rng(0).integers(0, 4000, (1, *TILED_SHAPE), np.uint16)
    source = PatchSource.from_images(image, STATISTICS, run.data, lc_depth=run.model.lc_depth, device=case.device)

    def predict() -> None:
        predict_frame(module, windows_of(source, 0), TILED_SHAPE, tiling=run.tiling)

    with FlopCounterMode(display=False) as counter:
        predict()
    return Work(predict, TILES, flops=counter.get_total_flops(), error=rounding_error(module, run, case.device))


@torch.inference_mode()
def rounding_error(module: Network, run: RunConfig, device: str) -> float:
    """Return what bfloat16 changes in a prediction from the same latents, in deviations of it; 0 in float32."""
    image = training_pair(run.model.variant, device)[0][:2]
    exact = module(image, with_kl=False)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=run.tiling.precision == "bfloat16"):
        rounded = module(image, latents=[latent.sample for latent in exact.latents], with_kl=False)
    return float((rounded.mean - exact.mean).square().mean().sqrt() / exact.mean.std())


if __name__ == "__main__":
    sys.exit(serve(prepare))
