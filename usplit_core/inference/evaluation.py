"""Scores one trained model on the test frames, under every tiling. Source: docs/method.md, Evaluation."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from usplit_core.checkpoint import SavedModel, load_model
from usplit_core.config import TilingConfig, check_tiling
from usplit_core.data.sampling import PatchSource
from usplit_core.data.splits import Parts
from usplit_core.errors import DataError
from usplit_core.inference.calibration import Counts, calibration_curve, calibration_scores, count_errors
from usplit_core.inference.micro_ssim import is_installed
from usplit_core.inference.sample import Box, crop_sample, sample_box
from usplit_core.inference.scoring import Row, add_micro_ssim, by_channel, score_frame, summarise
from usplit_core.inference.seams import seam_lines
from usplit_core.inference.tile_prediction import (
    FramePrediction,
    fill_border,
    posterior_samples,
    predict_frame,
    windows_of,
)
from usplit_core.inference.tiling import TilePlan, plan_tiles
from usplit_core.models import Network


class Evaluation(NamedTuple):
    """One trained model under one tiling.

    Parameters
    ----------
    tiling
        How frames were tiled.
    metrics
        ``test/SCORE``: mean over test frames, then over structure channels; ``test/SCORE/c``: of structure channel c;
        ``test/seconds``: time to predict all test frames. ``test/calibration_…`` are there where a pixel is predicted
        more than once, ``test/micro_ssim`` where its package is installed.
    frames
        One row a frame and structure channel: ``frame``, ``channel`` and each score. A score that is not defined,
        such as the PSNR of an empty frame, is NaN.
    sample
        Crops of one place, the same for every tiling and model of the same data: ``input`` (Y, X), ``prediction`` and
        ``target`` (C, Y, X), at most 256 px a side, in intensities. Beside them ``calibration`` of all frames, see
        `usplit_core.inference.calibration.calibration_curve`, where a pixel is predicted more than once.
    """

    tiling: TilingConfig
    metrics: dict[str, float]
    frames: list[Row]
    sample: dict[str, NDArray[Any]]


def evaluate(
    model: Path,
    parts: Parts,
    tilings: Sequence[TilingConfig],
    *,
    device: torch.device | str = "cpu",
    on_done: Callable[[Evaluation], None] | None = None,
) -> list[Evaluation]:
    """Predict and score the test frames under each tiling.

    Targets are the test frames with background, clip and normalisation of the training; scores are taken in normalised
    units. Pixels that a tiling leaves out are not scored. The model is loaded and the lateral context built once, and
    tilings that come to the same tiles, borders and samples are predicted once: outer and inner tiling without padding,
    or different `samples` of a deterministic network.

    Parameters
    ----------
    model
        A model file, as training writes it.
    parts
        The images; of them the test frames (N, C, Y, X) are used.
    tilings
        How to tile.
    device
        Where to predict.
    on_done
        Told each result as soon as it is there.

    Raises
    ------
    CheckpointError
        If `model` is no model file of this project, or predicts what are no finite numbers.
    ConfigError
        If the network cannot take a tiling; raised before anything is predicted.
    DataError
        If there are no test frames.
    """
    if not len(parts.test):
        raise DataError("there are no test frames: raise data.test_fraction, or give more frames")
    module, saved = load_model(model, device)
    for tiling in tilings:
        check_tiling(saved.run.model, tiling)
    source = _source(parts, saved, device)
    job = _Job(module, saved, source, parts.test, sample_box(source))
    done = []
    known: dict[Hashable, Evaluation] = {}
    for tiling in tilings:
        work = _work(job, tiling)
        if work not in known:
            known[work] = _evaluate_tiling(job, tiling)
        evaluation = known[work]._replace(tiling=tiling)
        done.append(evaluation)
        if on_done is not None:
            on_done(evaluation)
    return done


def _source(parts: Parts, saved: SavedModel, device: torch.device | str) -> PatchSource:
    run, arrays = saved.run, parts.arrays_of("test")
    return PatchSource.from_frames(
        parts.test, saved.statistics, run.data, lc_depth=run.model.lc_depth, device=device, arrays=arrays
    )


class _Job(NamedTuple):
    """What all tilings share."""

    module: Network
    saved: SavedModel
    source: PatchSource
    test: NDArray[Any]  # (N, C, Y, X)
    sample_box: Box


def _plan(job: _Job, tiling: TilingConfig) -> TilePlan:
    height, width = job.test.shape[-2:]
    return plan_tiles(height, width, patch_px=job.saved.run.model.patch_px, tiling=tiling)


def _work(job: _Job, tiling: TilingConfig) -> Hashable:
    """Return what decides the predictions under a tiling."""
    plan = _plan(job, tiling)
    run = job.saved.run
    numbers = tuple(value.tobytes() if isinstance(value, np.ndarray) else value for value in plan)
    samples = posterior_samples(run.model, tiling)
    return numbers, fill_border(tiling, run.data.border), samples, tiling.precision


def _evaluate_tiling(job: _Job, tiling: TilingConfig) -> Evaluation:
    rows: list[Row] = []
    seconds = 0.0
    sample: dict[str, NDArray[Any]] = {}
    counts: Counts | None = None
    plan = _plan(job, tiling)
    seams, covered = seam_lines(plan), _covered(plan)
    kept: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for frame in range(len(job.test)):
        start = perf_counter()
        prediction = _predict(job, frame, tiling)
        seconds += perf_counter() - start
        target = job.source.target(frame).cpu().numpy()
        rows += score_frame(frame, target[covered], prediction.mean[covered], seams)
        if is_installed():
            kept.append((target[covered], prediction.mean[covered]))
        if prediction.std is not None:
            found = count_errors(target[covered], prediction.mean[covered], prediction.std[covered])
            counts = found if counts is None else counts + found
        if frame == job.sample_box.frame:
            sample = crop_sample(job.sample_box, job.test, job.saved.statistics, target, prediction.mean)
    if kept:
        rows = add_micro_ssim(rows, *zip(*kept, strict=True))
    if counts is not None:
        sample["calibration"] = calibration_curve(counts)
    metrics = {**summarise(rows), **_calibration_metrics(counts), "test/seconds": seconds}
    return Evaluation(tiling, metrics, rows, sample)


def _covered(plan: TilePlan) -> tuple[Any, ...]:
    """Return the slices of a frame (C, Y, X) that tiles cover.

    Raises
    ------
    DataError
        If there is none.
    """
    if not len(plan.kept):
        raise DataError(
            f"a frame of {plan.height} x {plan.width} px (y, x) is smaller than a tile of {plan.kept_px} px: "
            "set tiling.remainder to covered"
        )
    bottom, right = plan.covered
    return (..., slice(bottom), slice(right))


def _calibration_metrics(counts: Counts | None) -> dict[str, float]:
    if counts is None:
        return {}
    scores = calibration_scores(counts)
    return {key: value for name, values in scores.items() for key, value in by_channel(name, values).items()}


def _predict(job: _Job, frame: int, tiling: TilingConfig) -> FramePrediction:
    return predict_frame(
        job.module,
        windows_of(job.source, frame, fill_border(tiling, job.saved.run.data.border)),
        (job.test.shape[-2], job.test.shape[-1]),
        tiling=tiling,
        seed=frame,
    )
