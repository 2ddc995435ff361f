"""Scores one trained model on the test frames, under every tiling. Source: docs/method.md, Evaluation."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from usplit_core.checkpoint import SavedModel, load_model
from usplit_core.config import TilingConfig, check_tiling
from usplit_core.data.mixing import denormalise_target, prepare, superimpose
from usplit_core.data.sampling import PatchSource
from usplit_core.data.splits import Parts
from usplit_core.errors import DataError
from usplit_core.inference.metrics import psnr, scale_invariant_psnr, ssim
from usplit_core.inference.prediction import predict_frame, windows_of
from usplit_core.inference.tiling import FloatArray, IntArray
from usplit_core.models import Network

#: Scores of a frame's channels: name -> function of target and prediction (C, Y, X). With ``test/`` before it, a name
#: is the key in the vocabulary.
SCORES: dict[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]] = {
    "scale_invariant_psnr_db": scale_invariant_psnr,
    "psnr_db": psnr,
    "ssim": ssim,
}

#: Largest side of the sample crops.
SAMPLE_PX = 256

Row = dict[str, float | int]


class Evaluation(NamedTuple):
    """One trained model under one tiling.

    Parameters
    ----------
    tiling
        How frames were tiled.
    metrics
        ``test/SCORE``: mean over test frames, then over structure channels; ``test/SCORE/c``: of structure channel c;
        ``test/seconds``: time to predict all test frames.
    frames
        One row a frame and structure channel: ``frame``, ``channel`` and each score. A score that is not defined,
        such as the PSNR of an empty frame, is NaN.
    sample
        Crops of one place, the same for every tiling and model of the same data: ``input`` (Y, X), ``prediction`` and
        ``target`` (C, Y, X), at most 256 px a side, in intensities.
    """

    tiling: TilingConfig
    metrics: dict[str, float]
    frames: list[Row]
    sample: dict[str, FloatArray]


class Box(NamedTuple):
    """A place in a stack of frames, in px."""

    frame: int
    top: int
    left: int
    height: int
    width: int


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
    units. The model is loaded and the lateral context built once.

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
    source = PatchSource.from_frames(
        parts.test, saved.statistics, saved.run.data, lc_depth=saved.run.model.lc_depth, device=device
    )
    job = _Job(module, saved, source, parts.test, _sample_box(source))
    done = []
    for tiling in tilings:
        evaluation = _evaluate_tiling(job, tiling)
        done.append(evaluation)
        if on_done is not None:
            on_done(evaluation)
    return done


class _Job(NamedTuple):
    """What all tilings share."""

    module: Network
    saved: SavedModel
    source: PatchSource
    test: NDArray[Any]  # (N, C, Y, X)
    sample_box: Box


def _evaluate_tiling(job: _Job, tiling: TilingConfig) -> Evaluation:
    rows: list[Row] = []
    seconds = 0.0
    sample: dict[str, FloatArray] = {}
    for frame in range(len(job.test)):
        start = perf_counter()
        prediction = _predict(job, frame, tiling)
        seconds += perf_counter() - start
        target = job.source.target(frame).cpu().numpy()
        rows += score_frame(frame, target, prediction)
        if frame == job.sample_box.frame:
            sample = _sample(job, target, prediction)
    return Evaluation(tiling, {**summarise(rows), "test/seconds": seconds}, rows, sample)


def _predict(job: _Job, frame: int, tiling: TilingConfig) -> FloatArray:
    return predict_frame(
        job.module,
        windows_of(job.source, frame),
        (job.test.shape[-2], job.test.shape[-1]),
        tiling=tiling,
        seed=frame,
    )


def score_frame(frame: int, target: NDArray[Any], prediction: NDArray[Any]) -> list[Row]:
    """Return one row of scores a structure channel, for a frame (C, Y, X)."""
    scores = {name: score(target, prediction) for name, score in SCORES.items()}
    return [
        {"frame": frame, "channel": channel, **{name: float(values[channel]) for name, values in scores.items()}}
        for channel in range(len(target))
    ]


def summarise(rows: Sequence[Row]) -> dict[str, float]:
    """Return the mean of each score over frames, per channel and over channels.

    Frames where a score is not defined do not count; a channel without any leaves NaN.
    """
    metrics: dict[str, float] = {}
    channels = sorted({int(row["channel"]) for row in rows})
    for name in SCORES:
        means = [_mean_defined([row[name] for row in rows if row["channel"] == channel]) for channel in channels]
        metrics[f"test/{name}"] = float(np.mean(means))
        metrics |= {f"test/{name}/{channel}": mean for channel, mean in zip(channels, means, strict=True)}
    return metrics


def _mean_defined(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _sample(job: _Job, target: FloatArray, prediction: FloatArray) -> dict[str, FloatArray]:
    """Return the crops of input, prediction and target at the sample box, in intensities."""
    box, statistics = job.sample_box, job.saved.statistics
    crop = (..., slice(box.top, box.top + box.height), slice(box.left, box.left + box.width))
    prepared = prepare(job.test[box.frame : box.frame + 1], statistics)  # (1, C, Y, X)
    images = {
        "input": superimpose(prepared, statistics.weights)[0],
        "prediction": denormalise_target(prediction, statistics),
        "target": denormalise_target(target, statistics),
    }
    return {name: np.ascontiguousarray(image[crop], dtype=np.float32) for name, image in images.items()}


def _sample_box(source: PatchSource) -> Box:
    """Return the most structured crop of all frames; it depends on nothing but the targets."""
    frames, _, *shape = source.shape
    height, width = (min(SAMPLE_PX, side) for side in shape)
    found = [most_structure(source.target(frame).cpu().numpy(), height, width) for frame in range(frames)]
    frame = int(np.argmax([structure for _, _, structure in found]))
    top, left, _ = found[frame]
    return Box(frame, top, left, height, width)


def most_structure(frame: NDArray[Any], height: int, width: int) -> tuple[int, int, float]:
    """Find the crop of a frame (C, Y, X) with most structure in all channels.

    Crops are looked for at every eighth of their size. Structure is the product of the channels' standard deviations in
    the crop, so the scale of a channel does not matter, and a crop with an empty channel has none.

    Returns
    -------
    Top and left of the crop, and its structure.
    """
    tops, lefts = _crop_starts(frame.shape[-2], height), _crop_starts(frame.shape[-1], width)
    values = frame.astype(np.float64)
    means = _box_means(values, tops, lefts, height, width)  # (C, tops, lefts)
    variances = _box_means(np.square(values), tops, lefts, height, width) - np.square(means)
    structure = np.sqrt(np.maximum(variances, 0)).prod(axis=0)
    row, column = np.unravel_index(np.argmax(structure), structure.shape)
    return int(tops[row]), int(lefts[column]), float(structure[row, column])


def _crop_starts(length: int, crop_px: int) -> IntArray:
    last = length - crop_px
    return np.append(np.arange(0, last, max(crop_px // 8, 1)), last)


def _box_means(
    image: NDArray[np.float64], tops: IntArray, lefts: IntArray, height: int, width: int
) -> NDArray[np.float64]:
    """Return the means of boxes at each top and left, from one summed-area table."""
    table = np.pad(image.cumsum(axis=-2).cumsum(axis=-1), ((0, 0), (1, 0), (1, 0)))
    bottom, right = tops[:, None] + height, lefts[None] + width
    sums = table[:, bottom, right] - table[:, tops[:, None], right] - table[:, bottom, lefts[None]]
    return np.asarray(sums + table[:, tops[:, None], lefts[None]]) / (height * width)
