"""MicroSSIM, where its authors' package is installed."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from usplit_core.inference.micro_ssim import is_installed, micro_ssim
from usplit_core.inference.scoring import add_micro_ssim, score_frame, summarise
from usplit_core.inference.seams import SeamLines

pytestmark = pytest.mark.skipif(not is_installed(), reason="the extra microssim is not installed")

NO_SEAMS = SeamLines(np.array([], int), np.array([], int))


def frames(count: int = 3) -> NDArray[Any]:
    """Return smooth frames (N, 2, 48, 48)."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    phases = generator.uniform(0, 6, (count, 2, 1, 1))
    waves: NDArray[Any] = np.sin(x / 5 + phases) * np.cos(y / 7 + phases)
    return waves + generator.normal(0, 0.02, waves.shape)


def test_offset_and_factor_do_not_count() -> None:
    truth = frames()
    np.testing.assert_allclose(micro_ssim(list(truth), list(3 * truth - 7)), np.ones((3, 2)), atol=1e-5)


def test_noise_counts() -> None:
    truth = frames()
    noise = np.random.default_rng(1).normal(0, 1, truth.shape)
    less, more = (micro_ssim(list(truth), list(truth + level * noise)) for level in (0.1, 0.4))
    assert np.all(more < less)
    assert np.all(less < 1)


def test_a_channel_without_contrast_has_none() -> None:
    truth = frames()
    flat = truth.copy()
    flat[:, 1] = 2.0
    scores = micro_ssim(list(flat), list(truth))
    assert np.all(np.isnan(scores[:, 1]))
    assert np.all(np.isfinite(scores[:, 0]))


def test_it_stands_in_the_rows_and_in_the_means() -> None:
    truth = frames()
    rows = [row for index, frame in enumerate(truth) for row in score_frame(index, frame, frame + 1, NO_SEAMS)]
    scored = add_micro_ssim(rows, list(truth), list(truth + 1))
    assert [row["frame"] for row in scored] == [0, 0, 1, 1, 2, 2]
    assert summarise(scored)["test/micro_ssim/1"] == pytest.approx(1, abs=1e-5)
