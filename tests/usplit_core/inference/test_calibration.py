"""Predicted deviation against error."""

import numpy as np
import pytest
from numpy.typing import NDArray

from usplit_core.inference.calibration import BINS, calibration_curve, calibration_scores, count_errors

Images = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def predictions(scale: float, offset: float = 0.0) -> Images:
    """Return target, mean and std (2, Y, X) whose error is `scale` times the deviation plus `offset`."""
    random = np.random.default_rng(0)
    std = random.gamma(4.0, 0.1, (2, 200, 300)).astype(np.float32)
    mean = random.normal(size=std.shape).astype(np.float32)
    error = (scale * std + offset) * random.normal(size=std.shape)
    return (mean + error).astype(np.float32), mean, std


def test_a_calibrated_prediction_lies_on_the_diagonal() -> None:
    counts = count_errors(*predictions(1.0))

    curve = calibration_curve(counts)
    scores = calibration_scores(counts)

    assert curve.shape == (2, BINS, 3)
    assert curve[..., 0].sum(axis=1).tolist() == [60_000, 60_000]
    assert curve[..., 0].max() < 1.2 * curve[..., 0].min()
    np.testing.assert_allclose(curve[..., 2], curve[..., 1], rtol=0.1)
    assert np.all(np.array(scores["calibration_error"]) < 0.03)
    np.testing.assert_allclose(scores["calibration_scale"], 1, atol=0.05)
    np.testing.assert_allclose(scores["calibration_offset"], 0, atol=0.02)


def test_scale_and_offset_bring_the_deviation_to_the_error() -> None:
    scores = calibration_scores(count_errors(*predictions(5.0, 0.7)))

    np.testing.assert_allclose(scores["calibration_scale"], 5, rtol=0.05)
    np.testing.assert_allclose(scores["calibration_offset"], 0.7, rtol=0.15)
    assert min(scores["calibration_error"]) > 4


def test_counts_of_frames_add_up() -> None:
    images = predictions(2.0)
    halves = [count_errors(*(image[:, rows] for image in images)) for rows in (slice(100), slice(100, None))]

    np.testing.assert_allclose(sum(halves), count_errors(*images))


def test_the_curve_is_that_of_sorted_pixels() -> None:
    target, mean, std = predictions(2.0)

    curve = calibration_curve(count_errors(target, mean, std))[0]

    order = np.argsort(std[0].ravel())
    variance, error = (np.square(values.ravel()[order]) for values in (std[0], target[0] - mean[0]))
    for index, values in ((1, variance), (2, error)):
        expected = [np.sqrt(part.mean()) for part in np.array_split(values, BINS)]
        np.testing.assert_allclose(curve[:, index], expected, rtol=0.05)


@pytest.mark.parametrize("deviation", [0.0, 0.5])
def test_equal_deviations_have_no_line(deviation: float) -> None:
    target, mean, std = predictions(1.0)

    counts = count_errors(target, mean, np.full_like(std, deviation))
    scores = calibration_scores(counts)

    assert np.isnan(scores["calibration_scale"]).all()
    assert np.isnan(scores["calibration_error"]).all() == (deviation == 0)
    assert np.count_nonzero(calibration_curve(counts)[0, :, 0]) == 1
