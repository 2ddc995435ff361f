"""Whether the predicted standard deviation says how wrong a prediction is (docs/method.md, Evaluation).

Pixels are sorted by their predicted deviation into bins; in each, the root mean variance is compared with the root mean
squared error. Where both agree, the prediction is calibrated. Counts of frames add up, so no frame has to be kept.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]

#: Bins of a calibration curve; each holds about equally many pixels.
BINS = 30
#: Fine classes of the deviation, in normalised units: narrow enough that bins made of them are as good as sorted.
_EDGES = np.geomspace(1e-6, 1e3, 4097)


def count_errors(target: NDArray[np.float32], mean: NDArray[np.float32], std: NDArray[np.float32]) -> Counts:
    """Return pixels, sum of variances and sum of squared errors of each fine class, (C, classes, 3).

    Parameters
    ----------
    target, mean, std
        Of a frame, (C, Y, X), in normalised units.
    """
    return np.stack([_count(*images) for images in zip(target, mean, std, strict=True)])


def _count(target: NDArray[np.float32], mean: NDArray[np.float32], std: NDArray[np.float32]) -> Counts:
    variance = np.square(std.ravel().astype(np.float64))
    error = np.square(target.ravel().astype(np.float64) - mean.ravel())
    fine = np.searchsorted(_EDGES, std.ravel())
    weights = (None, variance, error)
    return np.stack([np.bincount(fine, weight, len(_EDGES) + 1) for weight in weights], axis=1)


def calibration_curve(counts: Counts) -> Counts:
    """Return the number of pixels, the predicted deviation and the error (RMV and RMSE) of each bin, (C, bins, 3).

    Bins that hold no pixel, because many pixels have equal deviations, are all 0.
    """
    return np.stack([_bins(fine) for fine in counts])


def calibration_scores(counts: Counts) -> dict[str, list[float]]:
    """Return scores of each structure channel, by their names in the vocabulary.

    ``calibration_error`` is the mean of |RMSE - RMV| / RMV over bins (expected normalised calibration error, Levi et
    al. 2022). ``calibration_scale`` and ``calibration_offset`` are those of the line through the bins that brings the
    deviation to the error; NaN where all pixels are in one bin.
    """
    scores: dict[str, list[float]] = {"calibration_error": [], "calibration_scale": [], "calibration_offset": []}
    for fine in counts:
        bins = _bins(fine)
        pixels, deviation, error = bins[bins[:, 0] > 0].T
        is_positive = deviation > 0
        scores["calibration_error"].append(
            float(np.average(np.abs(error - deviation)[is_positive] / deviation[is_positive]))
            if is_positive.any()
            else float("nan")
        )
        scale, offset = _line(deviation, error, pixels)
        scores["calibration_scale"].append(scale)
        scores["calibration_offset"].append(offset)
    return scores


def _bins(fine: Counts) -> Counts:
    """Join fine classes (classes, 3) to bins of about equally many pixels: pixels, RMV and RMSE, (bins, 3)."""
    pixels = fine[:, 0]
    middle = np.cumsum(pixels) - pixels / 2
    number = np.minimum((middle / pixels.sum() * BINS).astype(np.int64), BINS - 1)
    joined = np.stack([np.bincount(number, column, BINS) for column in fine.T], axis=1)
    return np.column_stack([joined[:, 0], np.sqrt(joined[:, 1:] / np.maximum(joined[:, :1], 1))])


def _line(x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and offset of the weighted least-squares line."""
    centre_x, centre_y = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = float(np.sum(weight * np.square(x - centre_x)))
    if spread == 0:
        return float("nan"), float("nan")
    slope = float(np.sum(weight * (x - centre_x) * (y - centre_y))) / spread
    return slope, float(centre_y - slope * centre_x)
