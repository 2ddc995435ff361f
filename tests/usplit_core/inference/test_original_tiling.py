"""Tiles where the authors' code has them, and what neighbouring tiles see of each other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from usplit_core.config import DataConfig, TilingConfig
from usplit_core.data.mixing import Statistics, fit_statistics
from usplit_core.data.sampling import PatchSource
from usplit_core.data.splits import split
from usplit_core.data.streaming import StreamedImage
from usplit_core.inference.tile_prediction import windows_of
from usplit_core.inference.tiling import plan_tiles

PLAIN = Statistics((np.inf, np.inf), 0.0, (0.5, 0.5), 0.0, 1.0, (0.0, 0.0), (1.0, 1.0))


def test_the_grid_of_the_authors_and_what_they_see_there(repository: Path) -> None:
    reference = np.load(repository / "tests" / "reference" / "patches.npz")
    frames = np.stack([reference["channel_0"], reference["channel_1"]], axis=1)
    data = DataConfig(path="none.tif", split="frame")
    parts = split(frames, data)
    source = PatchSource.from_frames(parts.test, fit_statistics(parts.train, data), data, lc_depth=4)
    tiling = TilingConfig(padding_px=16, remainder="left_out")  # patch 64, grid 32
    plan = plan_tiles(96, 144, patch_px=64, tiling=tiling)

    places = list(zip(plan.top.tolist(), plan.left.tolist(), strict=True))
    assert len(places) == (96 // 32) * (144 // 32)
    assert plan.kept[:, 3].max() == 128  # 16 columns are left

    # Index k of the authors is row k // 4, column k % 4, as here.
    wanted = [places.index((top, left)) for _, top, left in reference["test_frame_y_x"].tolist()]
    windows = windows_of(source, 0)(plan.top[wanted], plan.left[wanted], plan.input_px)
    np.testing.assert_allclose(windows, reference["input"], atol=1e-4)


@pytest.mark.parametrize("border", ["reflect", "constant"])
@settings(max_examples=40, deadline=None)
@given(top=st.integers(-20, 60), left=st.integers(-20, 60), right=st.integers(1, 3), down=st.integers(0, 3))
def test_windows_of_neighbouring_tiles_agree_where_they_overlap(
    border: str, top: int, left: int, right: int, down: int
) -> None:
    image = np.random.default_rng(0).normal(size=(90, 100)).astype(np.float32)
    data = DataConfig.model_validate({"path": "none.tif", "border": border})
    whole = PatchSource.from_images(image[None], PLAIN, data, lc_depth=3)
    streamed = StreamedImage(
        lambda first, end: image[first:end], (90, 100), PLAIN, data, border=data.border, lc_depth=3
    )
    # A step of 8 px is a whole number of pixels at every level.
    tops, lefts = np.array([top, top + 8 * down]), np.array([left, left + 8 * right])

    for windows in (whole.windows(np.zeros(2, np.int64), tops, lefts, 32), streamed.windows(tops, lefts, 32)):
        for level in range(4):
            y, x = (8 * down) >> level, (8 * right) >> level
            first, second = windows[:, level]
            assert torch.equal(first[y:, x:], second[: 32 - y, : 32 - x])
