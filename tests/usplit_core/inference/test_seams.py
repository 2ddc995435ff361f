"""How visible the grid of tiles is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from usplit_core.config import TilingConfig
from usplit_core.inference.seams import SeamLines, seam_divergence, seam_gradient_ratio, seam_lines
from usplit_core.inference.tiling import plan_tiles

SEAMS = seam_lines(plan_tiles(128, 160, patch_px=32, tiling=TilingConfig(padding_px=8)))


@pytest.fixture
def noise() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(2, 128, 160))


def add_grid(frame: NDArray[np.float64], height: float) -> NDArray[np.float64]:
    """Raise every second tile of 16 px."""
    y, x = np.indices(frame.shape[-2:]) // 16
    return frame + height * ((y + x) % 2)


@pytest.mark.parametrize(
    ("tiling", "rows"),
    [
        (TilingConfig(padding_px=0), [32, 64, 96]),
        (TilingConfig(padding_px=4), [24, 48, 72, 96]),
        (TilingConfig(mode="outer", padding_px=8), [32, 64, 96]),
        (TilingConfig(padding_px=8, border="shift"), [24, 40, 56, 72, 88]),
        (TilingConfig(mode="sliding", padding_px=8), list(range(8, 100, 8))),
        (TilingConfig(padding_px=8, remainder="left_out"), [16, 32, 48, 64, 80]),
    ],
)
def test_seams_are_the_sides_of_tiles_inside_the_frame(tiling: TilingConfig, rows: list[int]) -> None:
    seams = seam_lines(plan_tiles(100, 40, patch_px=32, tiling=tiling))

    assert seams.rows.tolist() == rows
    assert seams.columns.max() < 40


def test_without_artefacts_nothing_is_seen(noise: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(seam_gradient_ratio(noise, SEAMS), 1, atol=0.05)
    assert np.all(seam_divergence(noise, SEAMS) < 0.02)


def test_the_higher_the_grid_the_more_is_seen(noise: NDArray[np.float64]) -> None:
    heights = (0.0, 1.0, 3.0)
    ratios = [seam_gradient_ratio(add_grid(noise, height), SEAMS)[0] for height in heights]
    divergences = [seam_divergence(add_grid(noise, height), SEAMS)[0] for height in heights]

    assert ratios == sorted(ratios)
    assert ratios[-1] > 2
    assert divergences == sorted(divergences)
    assert divergences[-1] > 0.5


def test_a_grid_elsewhere_is_no_seam(noise: NDArray[np.float64]) -> None:
    moved = np.roll(add_grid(noise, 3.0), (8, 8), axis=(1, 2))

    assert seam_gradient_ratio(moved, SEAMS)[0] < 1
    assert seam_gradient_ratio(moved, SeamLines(SEAMS.rows - 8, SEAMS.columns - 8))[0] > 2


def test_each_channel_has_its_own_scores_which_do_not_depend_on_units(noise: NDArray[np.float64]) -> None:
    frame = np.stack([noise[0], add_grid(noise[1], 2.0)])
    scaled = 7 + frame * np.array([1e3, 1e-2])[:, None, None]

    for score in (seam_gradient_ratio, seam_divergence):
        assert score(frame, SEAMS).shape == (2,)
        np.testing.assert_allclose(score(scaled, SEAMS), score(frame, SEAMS), rtol=1e-6)
        np.testing.assert_allclose(score(frame[1], SEAMS), score(frame, SEAMS)[1])


def test_there_is_no_score_without_seams_or_without_an_image(noise: NDArray[np.float64]) -> None:
    none = SeamLines(np.zeros(0, np.int64), np.zeros(0, np.int64))
    everywhere = SeamLines(np.arange(1, 128), np.arange(1, 160))

    for score in (seam_gradient_ratio, seam_divergence):
        assert np.isnan(score(noise, none)).all()
        assert np.isnan(score(noise, everywhere)).all()
        assert np.isnan(score(np.ones((64, 64)), SeamLines(np.array([32]), np.array([32]))))
