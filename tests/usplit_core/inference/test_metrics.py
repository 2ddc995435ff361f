"""Scores against the numbers of the authors' implementation, and what the definitions imply."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from usplit_core.inference import metrics
from usplit_core.inference.metrics import (
    MS_SSIM_SMALLEST_PX,
    Scores,
    fit_range,
    global_range_psnr,
    ms_ssim,
    psnr,
    range_invariant_ms_ssim,
    range_invariant_ssim,
    scale_invariant_psnr,
    ssim,
)

Score = Callable[[NDArray[Any], NDArray[Any]], Scores]

every_score = pytest.mark.parametrize(
    "score", [psnr, scale_invariant_psnr, ssim, ms_ssim, range_invariant_ssim, range_invariant_ms_ssim]
)

REFERENCE = Path(__file__).parents[2] / "reference" / "metrics.npz"


@pytest.fixture(scope="module")
def reference() -> dict[str, Scores]:
    with np.load(REFERENCE) as arrays:
        return dict(arrays)


@pytest.fixture
def images() -> tuple[Scores, Scores]:
    random = np.random.default_rng(0)
    target = random.gamma(2.0, 100.0, (2, 3, 24, 31))
    return target, target + random.normal(0, 30, target.shape)


@pytest.mark.parametrize(
    ("name", "score"),
    [("psnr", psnr), ("scale_invariant_psnr", scale_invariant_psnr), ("running_psnr", global_range_psnr)],
)
def test_scores_are_those_of_the_authors(name: str, score: Score, reference: dict[str, Scores]) -> None:
    scores = score(reference["target"], reference["prediction"])

    np.testing.assert_allclose(scores, reference[name], rtol=0, atol=1e-4)


def test_ssim_has_a_uniform_7_px_window_and_the_range_of_the_target_frame(images: tuple[Scores, Scores]) -> None:
    target, prediction = images

    expected = structural_similarity(  # type: ignore[no-untyped-call]  # skimage has no types
        target[1, 2], prediction[1, 2], win_size=7, gaussian_weights=False, data_range=np.ptp(target[1, 2])
    )
    assert ssim(target, prediction)[1, 2] == pytest.approx(expected)


@pytest.mark.parametrize("score", [psnr, scale_invariant_psnr, ssim])
def test_there_is_one_score_a_leading_index(score: Score, images: tuple[Scores, Scores]) -> None:
    target, prediction = images

    scores = score(target, prediction)

    assert scores.shape == (2, 3)
    assert scores[1, 2] == pytest.approx(float(score(target[1, 2], prediction[1, 2])))


def test_global_range_psnr_pools_the_frames_of_each_channel(images: tuple[Scores, Scores]) -> None:
    target, prediction = images

    error = np.mean((target[:, 1] - prediction[:, 1]) ** 2)
    expected = 10 * np.log10(np.ptp(target[:, 1]) ** 2 / error)
    assert global_range_psnr(target, prediction)[1] == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(
    scale=st.floats(1e-3, 1e3),
    offset=st.floats(-1e3, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
def test_scale_invariant_psnr_forgets_scale_and_offset(scale: float, offset: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    target, prediction = random.normal(size=(2, 9, 12))

    expected = scale_invariant_psnr(target, prediction)
    assert scale_invariant_psnr(target, offset + scale * prediction) == pytest.approx(expected, abs=1e-6)
    assert scale_invariant_psnr(offset + scale * target, prediction) == pytest.approx(expected, abs=1e-6)


def test_a_perfect_prediction_has_an_infinite_psnr(images: tuple[Scores, Scores]) -> None:
    target, _ = images

    assert np.all(np.isposinf(psnr(target, target)))
    assert np.all(scale_invariant_psnr(target, target) > 250)
    np.testing.assert_allclose(ssim(target, target), 1)


@every_score
def test_a_constant_target_has_no_score(score: Score) -> None:
    random = np.random.default_rng(0)

    assert np.isnan(score(np.full((176, 176), 0.1), random.normal(size=(176, 176))))


@every_score
def test_a_constant_prediction_has_no_scale(score: Score) -> None:
    random = np.random.default_rng(0)
    scores = score(random.normal(size=(176, 176)), np.full((176, 176), 0.1, dtype=np.float32))

    assert np.isnan(scores) == (score in (scale_invariant_psnr, range_invariant_ssim, range_invariant_ms_ssim))


def test_a_frame_smaller_than_the_window_has_no_ssim() -> None:
    random = np.random.default_rng(0)

    assert np.isnan(ssim(*random.normal(size=(2, 6, 40))))


def test_ssim_does_not_depend_on_how_many_rows_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    target, noise = random.normal(size=(2, 45, 20))
    expected = ssim(target, target + 0.3 * noise)

    for rows in (1, 8, 39, 100):
        monkeypatch.setattr(metrics, "STRIP_PX", rows)
        assert ssim(target, target + 0.3 * noise) == pytest.approx(expected, rel=1e-12)


def test_ms_ssim_is_that_of_the_field() -> None:
    # The example of torchmetrics' page on MultiScaleStructuralSimilarityIndexMeasure, with its number. Both images may
    # be the target: the score is the same, and the range of this one is that of the example.
    image = torch.rand([3, 3, 256, 256], generator=torch.manual_seed(42)).numpy()

    scores = ms_ssim(image, 0.75 * image)

    assert scores.shape == (3, 3)
    assert scores.mean() == pytest.approx(0.9627, abs=5e-5)


def test_the_finest_scale_of_ms_ssim_is_the_gaussian_ssim_of_skimage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MS_SSIM_WEIGHTS", (1.0,))
    random = np.random.default_rng(0)
    target, noise = random.normal(size=(2, 180, 190))

    expected = structural_similarity(  # type: ignore[no-untyped-call]  # skimage has no types
        target, target + noise, gaussian_weights=True, use_sample_covariance=False, data_range=np.ptp(target)
    )
    assert ms_ssim(target, target + noise) == pytest.approx(expected)


def test_ms_ssim_needs_frames_on_whose_coarsest_scale_its_window_fits() -> None:
    random = np.random.default_rng(0)
    target, noise = random.normal(size=(2, 176, 177))
    scores = ms_ssim(target, target + noise)

    assert MS_SSIM_SMALLEST_PX == 176
    assert 0 < scores < 1
    assert np.isnan(ms_ssim(target[1:], noise[1:]))


@pytest.mark.parametrize("score", [range_invariant_ssim, range_invariant_ms_ssim])
@pytest.mark.parametrize(("scale", "offset"), [(0.01, 3.0), (-2.0, 100.0)])
def test_range_invariant_scores_forget_scale_and_offset(score: Score, scale: float, offset: float) -> None:
    random = np.random.default_rng(0)
    target, noise = random.normal(size=(2, 180, 180))
    expected = score(target, target + noise)

    assert score(target, offset + scale * (target + noise)) == pytest.approx(expected)
    assert score(offset + abs(scale) * target, target + noise) == pytest.approx(expected)


def test_the_fit_is_the_closest_affine_function_of_the_prediction(images: tuple[Scores, Scores]) -> None:
    target, prediction = images
    standardised, fitted = fit_range(target, prediction)

    for frame in np.ndindex(2, 3):
        line = np.polynomial.Polynomial.fit(prediction[frame].ravel(), standardised[frame].ravel(), 1)
        np.testing.assert_allclose(fitted[frame], line(prediction[frame]), atol=1e-12)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        psnr(np.zeros((4, 5)), np.zeros((1, 5)))
