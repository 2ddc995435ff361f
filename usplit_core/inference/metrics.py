"""How close a prediction is to its target, per frame and structure channel.

Every function takes arrays (..., Y, X) of any equal shape and returns one value per leading index. Where a score is not
defined it is NaN: a constant target has no range to compare an error with, and a constant prediction no scale. A
perfect prediction has an infinite PSNR. Source: docs/method.md, Evaluation.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

#: Smallest side that the 7 x 7 window of SSIM fits in.
SSIM_WINDOW_PX = 7


def psnr(target: NDArray[Any], prediction: NDArray[Any]) -> Scores:
    """Return the peak signal-to-noise ratio in dB; the peak is the range of each target frame."""
    target, prediction = _as_float(target, prediction)
    return _decibel(_range(target), np.square(target - prediction).mean(axis=(-2, -1)))


def global_range_psnr(target: NDArray[Any], prediction: NDArray[Any]) -> Scores:
    """Return the PSNR in dB over all frames (N, ..., Y, X) -> (...): pooled error, range of all target frames."""
    target, prediction = _as_float(target, prediction)
    value_range = target.max(axis=(0, -2, -1)) - target.min(axis=(0, -2, -1))
    return _decibel(value_range, np.square(target - prediction).mean(axis=(0, -2, -1)))


def scale_invariant_psnr(target: NDArray[Any], prediction: NDArray[Any]) -> Scores:
    """Return the PSNR in dB after the best affine fit of the prediction to the target.

    The target is standardised with its unbiased standard deviation. A prediction a + b x, b not 0, has the score of x.
    """
    target, prediction = _as_float(target, prediction)
    value_range = _range(target)
    defined = (value_range > 0) & (_range(prediction) > 0)
    with np.errstate(all="ignore"):
        deviation = target.std(axis=(-2, -1), ddof=1)
        standardised = (target - target.mean(axis=(-2, -1), keepdims=True)) / deviation[..., None, None]
        centred = prediction - prediction.mean(axis=(-2, -1), keepdims=True)
        scale = (standardised * centred).sum(axis=(-2, -1)) / np.square(centred).sum(axis=(-2, -1))
        error = np.square(standardised - scale[..., None, None] * centred).mean(axis=(-2, -1))
        scores = _decibel(value_range / deviation, error)
    # Rounding leaves a constant frame a tiny deviation, so whether a score is defined is asked of the ranges.
    return np.where(defined, scores, np.nan)


def ssim(target: NDArray[Any], prediction: NDArray[Any]) -> Scores:
    """Return the structural similarity: uniform 7 x 7 window, range of each target frame.

    Frames with a side below 7 px have none (NaN).
    """
    # skimage takes a second to import, which only scoring should pay.
    from skimage.metrics import structural_similarity

    target, prediction = _as_float(target, prediction)
    value_range = _range(target)
    scores = np.full(value_range.shape, np.nan)
    if min(target.shape[-2:]) < SSIM_WINDOW_PX:
        return scores
    for index in np.ndindex(value_range.shape):
        if value_range[index] > 0:
            scores[index] = structural_similarity(  # type: ignore[no-untyped-call]  # skimage has no types
                target[index], prediction[index], win_size=SSIM_WINDOW_PX, data_range=value_range[index]
            )
    return scores


def _as_float(target: NDArray[Any], prediction: NDArray[Any]) -> tuple[Scores, Scores]:
    if target.shape != prediction.shape:
        raise ValueError(f"target {target.shape} and prediction {prediction.shape} must have the same shape")
    return target.astype(np.float64), prediction.astype(np.float64)


def _range(frames: Scores) -> Scores:
    return np.asarray(frames.max(axis=(-2, -1)) - frames.min(axis=(-2, -1)))


def _decibel(value_range: Scores, mean_squared_error: Scores) -> Scores:
    with np.errstate(all="ignore"):
        scores = 20 * np.log10(value_range / np.sqrt(mean_squared_error))
    return np.where(value_range > 0, scores, np.nan)
