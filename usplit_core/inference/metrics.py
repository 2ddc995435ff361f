"""How close a prediction is to its target, per frame and structure channel.

Adds to the axis letters: S scale of the multi-scale SSIM. Every function takes arrays (..., Y, X) of any equal shape
and returns one value per leading index. Where a score is not defined it is NaN: a constant target has no range to
compare an error with, and a constant prediction no scale. A perfect prediction has an infinite PSNR. Source:
docs/method.md, Evaluation.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

#: Smallest side that the 7 x 7 window of SSIM fits in.
SSIM_WINDOW_PX = 7

#: Weights of the scales of MS-SSIM, the finest first (Wang, Simoncelli and Bovik 2003, section 3.2).
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: Gaussian window of MS-SSIM.
MS_SSIM_SIGMA_PX = 1.5
MS_SSIM_WINDOW_PX = 11
#: Smallest side of a frame on whose coarsest scale that window still fits: 176 px.
MS_SSIM_SMALLEST_PX = MS_SSIM_WINDOW_PX << (len(MS_SSIM_WEIGHTS) - 1)

#: Rows that are compared at once: their maps stay in the cache of a processor, which halves the time.
STRIP_PX = 128


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
    """Return the PSNR in dB of what `fit_range` makes of target and prediction.

    A prediction a + b x, b not 0, has the score of x.
    """
    return psnr(*fit_range(target, prediction))


def fit_range(target: NDArray[Any], prediction: NDArray[Any]) -> tuple[Scores, Scores]:
    """Bring targets and predictions (..., Y, X) to units in which scale and offset of neither are left.

    Returns
    -------
    The target t' = (t - mean t) / std t, with the unbiased deviation; and a q' with q' = q - mean q and
    a = sum t' q' / sum q'^2, the affine function of the prediction q that is closest to t' in least squares. Both are
    NaN where target or prediction is constant.
    """
    target, prediction = _as_float(target, prediction)
    # Rounding leaves a constant frame a tiny deviation, so whether there is a fit is asked of the ranges.
    defined = (_range(target) > 0) & (_range(prediction) > 0)
    with np.errstate(all="ignore"):
        deviation = np.where(defined, target.std(axis=(-2, -1), ddof=1), np.nan)[..., None, None]
        standardised = (target - target.mean(axis=(-2, -1), keepdims=True)) / deviation
        centred = prediction - prediction.mean(axis=(-2, -1), keepdims=True)
        slope = (standardised * centred).sum(axis=(-2, -1)) / np.square(centred).sum(axis=(-2, -1))
        return standardised, slope[..., None, None] * centred


def ssim(target: NDArray[Any], prediction: NDArray[Any]) -> Scores:
    """Return the structural similarity: uniform 7 x 7 window, range of each target frame.

    Frames with a side below 7 px have none (NaN).
    """
    return _score_frames(target, prediction, _ssim_of_frame, smallest_px=SSIM_WINDOW_PX)


def ms_ssim(target: NDArray[Any], prediction: NDArray[Any]) -> Scores:
    """Return the multi-scale structural similarity of Wang, Simoncelli and Bovik (2003).

    Five scales, each the mean over 2 x 2 px of the one before. The score is the product over scales of the mean of
    contrast times structure, at the coarsest scale of the whole SSIM, to the power of the scale's weight. Gaussian
    window of 11 x 11 px (sigma 1.5 px) without border, K1 = 0.01, K2 = 0.03, range of each target frame. A mean below 0
    counts as 0, so that it has a power.

    Frames with a side below 176 px have none (NaN): fewer scales would be another score.
    """
    return _score_frames(target, prediction, _ms_ssim_of_frame, smallest_px=MS_SSIM_SMALLEST_PX)


def range_invariant_ssim(target: NDArray[Any], prediction: NDArray[Any]) -> Scores:
    """Return the SSIM of what `fit_range` makes of target and prediction; see `ssim`.

    The fit is that of the scale-invariant PSNR: a prediction a + b x, b not 0, has the score of x.
    """
    return ssim(*fit_range(target, prediction))


def range_invariant_ms_ssim(target: NDArray[Any], prediction: NDArray[Any]) -> Scores:
    """Return the MS-SSIM of what `fit_range` makes of target and prediction; see `ms_ssim`, `range_invariant_ssim`."""
    return ms_ssim(*fit_range(target, prediction))


FrameScore = Callable[[Scores, Scores, float], Any]


def _score_frames(target: NDArray[Any], prediction: NDArray[Any], score: FrameScore, *, smallest_px: int) -> Scores:
    """Return the score of each frame by its target, prediction (Y, X) and range; NaN where it is not defined."""
    target, prediction = _as_float(target, prediction)
    value_range = _range(target)
    scores = np.full(value_range.shape, np.nan)
    if min(target.shape[-2:]) >= smallest_px:
        for index in np.ndindex(value_range.shape):
            if value_range[index] > 0:
                scores[index] = score(target[index], prediction[index], float(value_range[index]))
    return scores


def _ssim_of_frame(target: Scores, prediction: Scores, value_range: float) -> Any:
    # skimage takes a second to import, which only scoring should pay.
    from skimage.metrics import structural_similarity

    return _mean_over_strips(
        lambda *strips: structural_similarity(  # type: ignore[no-untyped-call]  # skimage has no types
            *strips, win_size=SSIM_WINDOW_PX, data_range=value_range
        ),
        target,
        prediction,
        window_px=SSIM_WINDOW_PX,
    )


def _ms_ssim_of_frame(target: Scores, prediction: Scores, value_range: float) -> Any:
    similarity = partial(_similarity, value_range=value_range)
    means = []
    for scale in range(len(MS_SSIM_WEIGHTS)):
        if scale:
            target, prediction = _halved(target), _halved(prediction)
        means.append(_mean_over_strips(similarity, target, prediction, window_px=MS_SSIM_WINDOW_PX))
    contrast_structure, whole = np.transpose(means)  # (S,)
    factors = np.append(contrast_structure[:-1], whole[-1])
    return np.prod(np.maximum(factors, 0) ** MS_SSIM_WEIGHTS)


def _similarity(target: Scores, prediction: Scores, value_range: float) -> Scores:
    """Return the means of contrast times structure and of SSIM, (2,), where the Gaussian window fits."""
    stability_1, stability_2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    mean_t, mean_p = _window_mean(target), _window_mean(prediction)
    variances = _window_mean(np.square(target) + np.square(prediction)) - np.square(mean_t) - np.square(mean_p)
    covariance = _window_mean(target * prediction) - mean_t * mean_p
    contrast_structure = (2 * covariance + stability_2) / (variances + stability_2)
    luminance = (2 * mean_t * mean_p + stability_1) / (np.square(mean_t) + np.square(mean_p) + stability_1)
    return np.array([contrast_structure.mean(), (contrast_structure * luminance).mean()])


def _window_mean(image: Scores) -> Scores:
    """Return the mean over the Gaussian window at each pixel that it fits around."""
    from scipy.ndimage import correlate1d

    reach = MS_SSIM_WINDOW_PX // 2
    weights = np.exp(-np.square(np.arange(-reach, reach + 1) / MS_SSIM_SIGMA_PX) / 2)
    weights /= weights.sum()
    rows = correlate1d(image, weights, axis=0)[reach:-reach]
    return np.asarray(correlate1d(rows, weights, axis=1)[:, reach:-reach])


def _halved(image: Scores) -> Scores:
    """Return the means over 2 x 2 px; a last odd row or column is left out."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _mean_over_strips(
    mean_of: Callable[[Scores, Scores], Any], target: Scores, prediction: Scores, *, window_px: int
) -> Any:
    """Return what `mean_of` says of the frame, which is a mean over all places where a window fits, strip by strip."""
    places = len(target) - window_px + 1
    total = 0.0
    for top in range(0, places, STRIP_PX):
        rows = min(STRIP_PX, places - top)
        strip = slice(top, top + rows + window_px - 1)
        total = total + rows * mean_of(target[strip], prediction[strip])
    return total / places


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
