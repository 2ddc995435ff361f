"""Every pixel of every frame is kept exactly once, whatever the tiling."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from usplit_core.config import TilingConfig
from usplit_core.inference.tiling import TileBatch, TilePlan, batches, plan_tiles, stitch

Mode = Literal["inner", "outer"]


@st.composite
def plans(draw: st.DrawFn, *, complete: bool = True) -> TilePlan:
    patch_px = draw(st.integers(1, 24))
    mode: Mode = draw(st.sampled_from(["inner", "outer"]))
    padding_px = draw(st.integers(0, (patch_px - 1) // 2 if mode == "inner" else 12))
    return plan_tiles(
        draw(st.integers(1, 70)),
        draw(st.integers(1, 70)),
        patch_px=patch_px,
        tiling=TilingConfig(mode=mode, padding_px=padding_px),
        complete=complete,
    )


def windows_of(frame: NDArray[np.float32], plan: TilePlan, batch_size: int) -> Iterator[TileBatch]:
    """Cut the tiles out of a frame (C, Y, X), as a network does that returns its input."""
    rim = plan.input_px
    padded = np.pad(frame, ((0, 0), (rim, rim), (rim, rim)), mode="symmetric")
    middle = slice(plan.padding_px, plan.padding_px + plan.kept_px)
    for index in batches(plan, batch_size):
        corners = zip(plan.top[index] + rim, plan.left[index] + rim, strict=True)
        cut = [padded[:, top : top + plan.input_px, left : left + plan.input_px] for top, left in corners]
        yield TileBatch(index, np.stack(cut)[..., middle, middle])


@settings(max_examples=200, deadline=None)
@given(plan=plans())
def test_every_pixel_is_kept_exactly_once(plan: TilePlan) -> None:
    counts = np.zeros((plan.height, plan.width), dtype=int)
    for top, left, bottom, right in plan.kept:
        counts[top:bottom, left:right] += 1

    assert np.all(counts == 1)


@settings(max_examples=200, deadline=None)
@given(plan=plans())
def test_what_is_kept_lies_within_the_tile_and_the_tile_within_the_window(plan: TilePlan) -> None:
    assert np.all(plan.kept_in_tile >= 0)
    assert np.all(plan.kept_in_tile <= plan.kept_px)
    assert np.all(plan.kept_in_window >= plan.padding_px)
    assert np.all(plan.kept_in_window <= plan.input_px - plan.padding_px)
    assert np.all(plan.kept_in_window[:, 2:] - plan.kept_in_window[:, :2] == plan.kept[:, 2:] - plan.kept[:, :2])


@settings(max_examples=200, deadline=None)
@given(plan=plans())
def test_windows_reach_beyond_the_frame_by_the_padding_alone(plan: TilePlan) -> None:
    for start, length in ((plan.top, plan.height), (plan.left, plan.width)):
        assert start.min() == -plan.padding_px
        assert (start + plan.input_px).max() <= max(length, plan.kept_px) + plan.padding_px


@settings(max_examples=100, deadline=None)
@given(plan=plans(), batch_size=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_stitching_the_tiles_of_a_frame_gives_the_frame(plan: TilePlan, batch_size: int, seed: int) -> None:
    frame = np.random.default_rng(seed).normal(size=(3, plan.height, plan.width)).astype(np.float32)

    stitched = stitch(plan, windows_of(frame, plan, batch_size), structure_channels=3)

    np.testing.assert_array_equal(stitched, frame)


@settings(max_examples=100, deadline=None)
@given(plan=plans(), batch_size=st.integers(1, 40))
def test_batches_hold_every_tile_once_and_are_of_equal_size(plan: TilePlan, batch_size: int) -> None:
    found = batches(plan, batch_size)

    np.testing.assert_array_equal(np.concatenate(found), np.arange(len(plan.top)))
    sizes = [len(index) for index in found]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("mode", "padding_px", "input_px", "kept_px"),
    [("inner", 0, 64, 64), ("inner", 16, 64, 32), ("inner", 24, 64, 16), ("outer", 16, 96, 64), ("outer", 64, 192, 64)],
)
def test_inner_padding_keeps_less_and_outer_padding_sees_more(
    mode: Literal["inner", "outer"], padding_px: int, input_px: int, kept_px: int
) -> None:
    plan = plan_tiles(512, 512, patch_px=64, tiling=TilingConfig(mode=mode, padding_px=padding_px))

    assert (plan.input_px, plan.kept_px) == (input_px, kept_px)


def test_the_first_window_starts_the_padding_before_the_frame() -> None:
    plan = plan_tiles(100, 140, patch_px=64, tiling=TilingConfig(padding_px=16))

    assert sorted(set(plan.top.tolist())) == [-16, 16, 48, 52]
    assert sorted(set(plan.left.tolist())) == [-16, 16, 48, 80, 92]


@settings(max_examples=100, deadline=None)
@given(plan=plans(complete=False))
def test_without_the_remainder_tiles_lie_on_the_grid_of_the_authors(plan: TilePlan) -> None:
    grid = plan.kept_px
    rows, columns = plan.height // grid, plan.width // grid
    number = np.arange(rows * columns)

    np.testing.assert_array_equal(plan.top, number // max(columns, 1) * grid - (plan.input_px - grid) // 2)
    np.testing.assert_array_equal(plan.left, number % max(columns, 1) * grid - (plan.input_px - grid) // 2)
    np.testing.assert_array_equal(plan.kept[:, 2:] - plan.kept[:, :2], grid)


def test_pixels_that_no_tile_covers_are_zero() -> None:
    plan = plan_tiles(10, 9, patch_px=4, tiling=TilingConfig(padding_px=0), complete=False)

    stitched = stitch(plan, windows_of(np.ones((2, 10, 9), np.float32), plan, 3), structure_channels=2)

    assert stitched.sum() == 2 * 8 * 8
    assert np.all(stitched[:, :8, :8] == 1)


def test_a_frame_smaller_than_the_grid_has_no_tiles_without_the_remainder() -> None:
    plan = plan_tiles(10, 9, patch_px=16, tiling=TilingConfig(padding_px=0), complete=False)

    assert batches(plan, 8) == []
    assert not stitch(plan, [], structure_channels=2).any()
