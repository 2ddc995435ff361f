"""Batches, training and prediction on a device of their own: no tensor is left behind, and the numbers stay.

A process of its own works on the device, which torch must know before it trains for the first time.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.emulated_device import (
    convolution_precision,
    convolution_precisions,
    emulated_device,
    register,
    transfers,
)
from tests.usplit_core.test_noise_model_training import counting_noise
from tests.usplit_core.trainings import Listener, tiny_fit, tiny_parts, tiny_run
from usplit_core import training
from usplit_core.config import RunConfig
from usplit_core.data.sampling import PatchSource
from usplit_core.inference.evaluation import evaluate
from usplit_core.inference.tile_prediction import predict_frame, windows_of
from usplit_core.learner import build_learner, take_step
from usplit_core.models.noise_model import save_noise_model

Numbers = list[NDArray[Any]]


class Found(NamedTuple):
    """What came of one piece of work on the processor and on the device."""

    processor: Numbers
    device: Numbers


def both(work: Callable[[torch.device, dict[str, Any]], Numbers], settings: dict[str, Any]) -> Found:
    """Do the work on the processor and on the device; runs in the process of the device."""
    with emulated_device() as device:
        found = work(device, settings)
    return Found(work(torch.device("cpu"), settings), found)


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=register) as pool:
        yield pool


def batches(device: torch.device, settings: dict[str, Any]) -> Numbers:
    run = tiny_run(model__lc_depth=2, model__depth=3, **settings)
    parts, statistics = tiny_parts(run)
    source = PatchSource.from_frames(parts.train, statistics, run.data, lc_depth=2, device=device)
    drawn = list(source.training_batches(0, range(3), batch_size=2, patch_px=16))
    drawn += source.grid_batches(patch_px=16, batch_size=3)
    tensors = [tensor for batch in drawn for tensor in batch]
    tensors += [source.windows([0, 1], [-9, 20], [3, 25], 16), source.target(0)]
    assert {tensor.device.type for tensor in tensors} == {device.type}
    return [tensor.cpu().numpy() for tensor in tensors]


def trainings(device: torch.device, settings: dict[str, Any]) -> Numbers:
    """Train for two epochs, in two parts, and evaluate; return losses, scores and predictions."""
    listener = Listener()
    with TemporaryDirectory() as name, mock.patch.object(training, "check_device", lambda device, _: device):
        folder = Path(name)
        run = run_of(folder, settings)
        tiny_fit(run, folder, report=Listener(epoch=1), device=device)
        result = tiny_fit(run, folder, report=listener, device=device)
        tilings = [run.tiling.model_copy(update={"padding_px": padding, "samples": 2}) for padding in (0, 4)]
        evaluations = evaluate(result.model, tiny_parts(run)[0], tilings, device=device)
    losses = ("train/loss", "validation/loss", "validation/psnr_db")
    scores = ("test/psnr_db", "test/ssim")
    return [
        np.array([report.metrics[name] for report in listener.reports for name in losses]),
        *(np.array([found.metrics[name] for name in scores]) for found in evaluations),
        *(found.sample["prediction"] for found in evaluations),
    ]


def run_of(folder: Path, settings: dict[str, Any]) -> RunConfig:
    if settings.get("objective__likelihood") == "noise_model":
        save_noise_model(folder / "noise.safetensors", counting_noise())
        settings = {**settings, "objective__noise_model_path": str(folder / "noise.safetensors")}
    return tiny_run(train__epochs=2, **settings)


def waits(settings: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return how often numbers are moved for four batches, a step, and a batch of tiles."""
    run = tiny_run(**settings)
    parts, statistics = tiny_parts(run)
    found = {}
    with emulated_device() as device:
        source = PatchSource.from_frames(parts.train, statistics, run.data, lc_depth=1, device=device)
        learner = build_learner(run, device)
        tiles = PatchSource.from_images(parts.test[:, 0], statistics, run.data, lc_depth=1, device=device)
        sizes = {"batch_size": 2, "patch_px": 16}
        batch = next(source.training_batches(0, [0], **sizes))
        works: dict[str, Callable[[], object]] = {
            "batches": lambda: list(source.training_batches(0, range(4), **sizes)),
            "step": lambda: take_step(learner, batch, run, epoch=0),
            "tiles": lambda: predict_frame(learner.module, windows_of(tiles, 0), (32, 32), tiling=run.tiling),
        }
        for name, work in works.items():
            work()  # what is made once
            transfers.clear()
            work()
            found[name] = dict(transfers)
    return found


def precisions() -> list[str]:
    """Return in which precisions the convolutions of training and evaluation were computed, and what was set after."""
    convolution_precisions.clear()
    with emulated_device() as device:
        trainings(device, {})
    return [*convolution_precisions, "and then", convolution_precision()]


def leave_behind() -> None:
    with emulated_device() as device:
        there = torch.ones(3, device=device)
        assert (there + 1).sum().item() == 6
        with pytest.raises(RuntimeError, match="expected all tensors to be on the device"):
            there + torch.ones(3)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("weight_range", [None, (0.2, 0.8)])
def test_batches_are_gathered_on_the_device(
    process: ProcessPoolExecutor, augment: bool, weight_range: tuple[float, float] | None
) -> None:
    settings = {"data__augment": augment, "data__mixing_weight_range": weight_range}
    found = process.submit(both, batches, settings).result()
    for ours, theirs in zip(found.device, found.processor, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"model__variant": "vanilla", "model__lc_depth": 0},
        {"model__variant": "lean"},
        {"model__variant": "regular"},
        {"model__variant": "deep", "train__gradient_clip_by": "value"},
        {"model__architecture": "hae", "train__checkpoint_every_epochs": 2},
        {"model__architecture": "unet"},
        {"model__architecture": "bravenet"},
        {"model__log_variance": "none", "objective__likelihood": "noise_model"},
    ],
    ids=str,
)
def test_a_training_and_its_evaluation_never_leave_the_device(
    process: ProcessPoolExecutor, settings: dict[str, Any]
) -> None:
    found = process.submit(both, trainings, settings).result()
    for ours, theirs in zip(found.device, found.processor, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3 * float(np.abs(theirs).max()))


@pytest.mark.parametrize("settings", [{}, {"model__architecture": "unet"}], ids=["hvae", "unet"])
def test_the_processor_seldom_waits_for_the_device(process: ProcessPoolExecutor, settings: dict[str, Any]) -> None:
    found = process.submit(waits, settings).result()
    # Where patches lie; the metrics of a step; where tiles lie, and their prediction.
    assert found == {"batches": {"to": 1}, "step": {"from": 1}, "tiles": {"to": 1, "from": 1}}


def test_float32_is_not_rounded_on_a_gpu_and_other_networks_of_the_process_are_left_alone(
    process: ProcessPoolExecutor,
) -> None:
    assert process.submit(precisions).result() == ["ieee", "and then", "tf32"]


def test_a_tensor_that_is_left_behind_is_found(process: ProcessPoolExecutor) -> None:
    process.submit(leave_behind).result()
