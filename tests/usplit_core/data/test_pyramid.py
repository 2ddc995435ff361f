"""Levels are downsampled frames, and windows are slices of padded levels."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.transform import resize

from tests.usplit_core.data.patches import build_pyramid, gather
from usplit_core.data import halving
from usplit_core.data.pyramid import check_depth
from usplit_core.errors import DataError


def random_images(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


@given(height=st.integers(2, 40), width=st.integers(2, 40))
def test_half_resolution_is_that_of_skimage_for_even_and_odd_sizes(height: int, width: int) -> None:
    images = random_images((1, 1, height, width))
    halved = build_pyramid(images, 1)[1]
    expected = resize(  # type: ignore[no-untyped-call]  # scikit-image has no types
        images[0, 0].numpy(), (height // 2, width // 2), order=1, anti_aliasing=True
    )
    np.testing.assert_allclose(halved[0, 0].numpy(), expected, atol=1e-12)


def test_level_l_is_the_frame_halved_l_times() -> None:
    images = random_images((2, 3, 40, 27))
    levels = build_pyramid(images, 3)
    assert [tuple(level.shape) for level in levels] == [(2, 3, 40, 27), (2, 3, 20, 13), (2, 3, 10, 6), (2, 3, 5, 3)]
    for level, halved in pairwise(levels):
        torch.testing.assert_close(build_pyramid(level, 1)[1], halved)


@pytest.mark.parametrize("rows_at_once", [1, 3, 8])
def test_halving_some_rows_at_a_time_is_halving_all_at_once(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images((2, 3, 41, 28)).to(torch.float32)
    whole = build_pyramid(images, 2)
    monkeypatch.setattr(halving, "HALVED_PX", rows_at_once * 2 * 28)
    for level, expected in zip(build_pyramid(images, 2), whole, strict=True):
        assert torch.equal(level, expected)


def test_halving_keeps_a_constant_image() -> None:
    deepest = build_pyramid(torch.full((1, 1, 33, 50), 7.0), 4)[-1]
    torch.testing.assert_close(deepest, torch.full((1, 1, 2, 3), 7.0))


def test_frames_that_vanish_are_refused() -> None:
    with pytest.raises(DataError, match=r"lower model\.lc_depth to at most 3"):
        check_depth(8, 100, 4)


def padded_window(level: NDArray[Any], top: int, left: int, size: int, border: str) -> NDArray[Any]:
    """Cut a window out of a level (K, Y, X) that numpy has padded."""
    margin = 200
    wide = np.pad(level, ((0, 0), (margin, margin), (margin, margin)), mode=border)  # type: ignore[call-overload]  # mode is a str here
    result: NDArray[Any] = wide[:, top + margin : top + margin + size, left + margin : left + margin + size]
    return result


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(8, 30),
    width=st.integers(8, 30),
    size=st.integers(1, 33),
    windows=st.lists(st.tuples(st.integers(0, 1), st.integers(-40, 40), st.integers(-40, 40)), min_size=1, max_size=5),
    border=st.sampled_from(["reflect", "constant"]),
)
def test_windows_are_slices_of_the_padded_levels(
    height: int, width: int, size: int, windows: list[tuple[int, int, int]], border: Any
) -> None:
    levels = build_pyramid(random_images((2, 2, height, width)), 3)
    frame, top, left = np.array(windows).T
    gathered = gather(levels, frame, top, left, size_px=size, border=border)
    assert gathered.shape == (len(windows), 2, 4, size, size)
    for window, (number, row, column) in zip(gathered.numpy(), windows, strict=True):
        for index, level in enumerate(levels):
            first_row = (row + size // 2) // 2**index - size // 2
            first_column = (column + size // 2) // 2**index - size // 2
            expected = padded_window(level[number].numpy(), first_row, first_column, size, border)
            np.testing.assert_array_equal(window[:, index], expected)


def test_a_level_of_one_pixel_is_repeated() -> None:
    levels = build_pyramid(random_images((1, 1, 2, 2)), 1)
    windows = gather(levels, np.array([0]), np.array([0]), np.array([0]), size_px=4, border="reflect")
    torch.testing.assert_close(windows[0, 0, 1], levels[1][0, 0].expand(4, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.float32])
def test_windows_keep_the_type_of_the_images(dtype: torch.dtype) -> None:
    images = torch.arange(60).reshape(1, 1, 6, 10).to(dtype)
    place = np.array([0]), np.array([1]), np.array([-2])
    windows = gather((images,), *place, size_px=4, border="reflect")
    assert windows.dtype == dtype
    assert windows[0, 0, 0, 0].tolist() == [12, 11, 10, 11]
