"""Scores against the numbers of the authors' implementation, and what the definitions imply."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from usplit_core.inference.metrics import Scores, global_range_psnr, psnr, scale_invariant_psnr, ssim

Score = Callable[[NDArray[Any], NDArray[Any]], Scores]

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


@pytest.mark.parametrize("score", [psnr, scale_invariant_psnr, ssim])
def test_a_constant_target_has_no_score(score: Score) -> None:
    random = np.random.default_rng(0)

    assert np.isnan(score(np.full((16, 16), 0.1), random.normal(size=(16, 16))))


def test_a_constant_prediction_has_no_scale() -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=(16, 16))

    assert np.isnan(scale_invariant_psnr(target, np.full((16, 16), 0.1, dtype=np.float32)))
    assert np.isfinite(psnr(target, np.full((16, 16), 0.1, dtype=np.float32)))


def test_a_frame_smaller_than_the_window_has_no_ssim() -> None:
    random = np.random.default_rng(0)

    assert np.isnan(ssim(*random.normal(size=(2, 6, 40))))


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        psnr(np.zeros((4, 5)), np.zeros((1, 5)))
