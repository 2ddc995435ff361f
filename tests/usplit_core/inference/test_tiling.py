"""Every pixel of every frame is kept equally often, whatever the tiling."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from usplit_core.config import TilingConfig
from usplit_core.inference.stitching import TileBatch, stitch, stitch_rows
from usplit_core.inference.tiling import TilePlan, batches, plan_tiles

Mode = Literal["inner", "outer", "sliding"]
Border = Literal["reflect", "constant", "shift"] | None


@st.composite
def plans(draw: st.DrawFn, *, remainder: Literal["covered", "left_out"] = "covered") -> TilePlan:
    patch_px = draw(st.integers(1, 24))
    modes: list[Mode] = ["inner", "outer"] if remainder == "left_out" else ["inner", "outer", "sliding"]
    mode = draw(st.sampled_from(modes))
    padding_px = draw(st.integers(0, 12 if mode == "outer" else (patch_px - 1) // 2))
    kept_px = patch_px - 2 * padding_px
    stride_px = None
    if mode == "sliding":
        stride_px = draw(st.sampled_from([px for px in range(1, kept_px + 1) if kept_px % px == 0]))
    borders: list[Border] = [None, "shift"] if mode != "sliding" and remainder == "covered" else [None]
    tiling = TilingConfig(
        mode=mode,
        padding_px=padding_px,
        stride_px=stride_px,
        border=draw(st.sampled_from(borders)),
        remainder=remainder,
    )
    return plan_tiles(draw(st.integers(1, 70)), draw(st.integers(1, 70)), patch_px=patch_px, tiling=tiling)


def windows_of(frame: NDArray[np.float32], plan: TilePlan, batch_size: int) -> Iterator[TileBatch]:
    """Cut the tiles out of a frame (C, Y, X), as a network does that returns its input."""
    rim = plan.input_px
    padded = np.pad(frame, ((0, 0), (rim, rim), (rim, rim)), mode="symmetric")
    middle = slice(plan.margin_px, plan.margin_px + plan.kept_px)
    for index in batches(plan, batch_size):
        corners = zip(plan.top[index] + rim, plan.left[index] + rim, strict=True)
        cut = [padded[:, top : top + plan.input_px, left : left + plan.input_px] for top, left in corners]
        yield TileBatch(index, np.stack(cut)[..., middle, middle])


@settings(max_examples=200, deadline=None)
@given(plan=plans())
def test_every_pixel_is_kept_equally_often(plan: TilePlan) -> None:
    counts = np.zeros((plan.height, plan.width), dtype=int)
    for top, left, bottom, right in plan.kept:
        counts[top:bottom, left:right] += 1

    assert np.all(counts == plan.coverage)


@settings(max_examples=100, deadline=None)
@given(plan=plans())
def test_tiles_come_from_top_to_bottom(plan: TilePlan) -> None:
    assert np.all(np.diff(plan.kept[:, [0, 2]], axis=0) >= 0)


@settings(max_examples=200, deadline=None)
@given(plan=plans())
def test_what_is_kept_lies_within_the_tile_and_the_tile_within_the_window(plan: TilePlan) -> None:
    assert np.all(plan.kept_in_tile >= 0)
    assert np.all(plan.kept_in_tile <= plan.kept_px)
    assert np.all(plan.kept_in_window >= plan.margin_px)
    assert np.all(plan.kept_in_window <= plan.input_px - plan.margin_px)
    assert np.all(plan.kept_in_window[:, 2:] - plan.kept_in_window[:, :2] == plan.kept[:, 2:] - plan.kept[:, :2])


@pytest.mark.parametrize("mode", ["inner", "outer"])
@settings(max_examples=100, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), padding_px=st.integers(0, 7))
def test_windows_reach_beyond_the_frame_by_the_padding_alone(
    mode: Mode, height: int, width: int, padding_px: int
) -> None:
    plan = plan_tiles(height, width, patch_px=16, tiling=TilingConfig(mode=mode, padding_px=padding_px))

    for start, length in ((plan.top, plan.height), (plan.left, plan.width)):
        assert start.min() == -padding_px
        assert (start + plan.input_px).max() <= max(length, plan.kept_px) + padding_px


@settings(max_examples=100, deadline=None)
@given(height=st.integers(16, 70), width=st.integers(16, 70), padding_px=st.integers(0, 7))
def test_shifted_windows_stay_in_the_frame(height: int, width: int, padding_px: int) -> None:
    plan = plan_tiles(height, width, patch_px=16, tiling=TilingConfig(padding_px=padding_px, border="shift"))

    for start, length in ((plan.top, height), (plan.left, width)):
        assert start.min() == 0
        assert (start + 16).max() == length
        # ceil((H - 2p) / g) tiles an axis.
        assert len(np.unique(start)) == -(-(length - 2 * padding_px) // (16 - 2 * padding_px))


def test_a_frame_smaller_than_the_patch_lies_in_the_middle_of_a_shifted_window() -> None:
    plan = plan_tiles(10, 40, patch_px=16, tiling=TilingConfig(padding_px=4, border="shift"))

    assert set(plan.top.tolist()) == {-3}
    assert plan.kept[:, [0, 2]].tolist() == [[0, 10]] * len(plan.kept)


@pytest.mark.parametrize(("stride_px", "coverage"), [(None, 4), (16, 4), (8, 16), (32, 1)])
def test_sliding_tiles_overlap_and_begin_before_the_frame(stride_px: int | None, coverage: int) -> None:
    plan = plan_tiles(100, 140, patch_px=64, tiling=TilingConfig(mode="sliding", padding_px=16, stride_px=stride_px))

    assert (plan.kept_px, plan.coverage) == (32, coverage)
    assert plan.top.min() == -16 - (32 - (stride_px or 16))


@settings(max_examples=100, deadline=None)
@given(plan=plans(), batch_size=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_stitching_the_tiles_of_a_frame_gives_the_frame(plan: TilePlan, batch_size: int, seed: int) -> None:
    frame = np.random.default_rng(seed).normal(size=(3, plan.height, plan.width)).astype(np.float32)

    stitched = stitch(plan, windows_of(frame, plan, batch_size), structure_channels=3)

    np.testing.assert_allclose(stitched, frame, rtol=0, atol=0 if plan.coverage == 1 else 1e-6)


@settings(max_examples=25, deadline=None)
@given(plan=plans(), batch_size=st.integers(1, 40), samples=st.integers(1, 4))
def test_mean_and_std_are_those_of_all_samples_of_a_pixel(plan: TilePlan, batch_size: int, samples: int) -> None:
    random = np.random.default_rng(0)
    drawn: list[list[list[float]]] = [[[] for _ in range(plan.width)] for _ in range(plan.height)]
    predicted = []
    for numbers in batches(plan, batch_size):
        values = random.normal(size=(samples, len(numbers), 1, plan.kept_px, plan.kept_px))
        for tile, sample in zip(numbers, np.moveaxis(values, 0, -1)[:, 0], strict=True):
            (top, left, bottom, right), (tile_top, tile_left, _, _) = plan.kept[tile], plan.kept_in_tile[tile]
            for y in range(top, bottom):
                for x in range(left, right):
                    drawn[y][x] += sample[tile_top + y - top, tile_left + x - left].tolist()
        scatter = np.square(values - values.mean(axis=0)).sum(axis=0)
        predicted.append(TileBatch(numbers, values.mean(axis=0), scatter, samples))

    rows = list(stitch_rows(plan, predicted, structure_channels=1, samples=samples))

    mean = np.concatenate([part.mean for part in rows], axis=1)[0]
    np.testing.assert_allclose(mean, [[np.mean(pixel) for pixel in row] for row in drawn], atol=1e-5)
    if samples * plan.coverage == 1:
        assert all(part.std is None for part in rows)
    else:
        std = np.concatenate([part.std for part in rows if part.std is not None], axis=1)[0]
        np.testing.assert_allclose(std, [[np.std(pixel, ddof=1) for pixel in row] for row in drawn], atol=1e-4)


@settings(max_examples=100, deadline=None)
@given(plan=plans(), batch_size=st.integers(1, 40), data=st.data())
def test_rows_are_the_same_when_stitching_starts_lower(plan: TilePlan, batch_size: int, data: st.DataObject) -> None:
    frame = np.random.default_rng(0).normal(size=(2, plan.height, plan.width)).astype(np.float32)
    first_row = data.draw(st.integers(0, plan.height - 1))
    every = list(windows_of(frame, plan, batch_size))
    below = [batch for batch in every if plan.kept[batch.numbers[-1], 2] > first_row]

    rows = list(stitch_rows(plan, below, structure_channels=2, first_row=first_row))

    whole = stitch(plan, every, structure_channels=2)
    np.testing.assert_array_equal(np.concatenate([part.mean for part in rows], axis=1), whole[:, first_row:])
    assert rows[0].top == first_row


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
@given(plan=plans(remainder="left_out"))
def test_without_the_remainder_tiles_lie_on_the_grid_of_the_authors(plan: TilePlan) -> None:
    grid = plan.kept_px
    rows, columns = plan.height // grid, plan.width // grid
    number = np.arange(rows * columns)

    np.testing.assert_array_equal(plan.top, number // max(columns, 1) * grid - (plan.input_px - grid) // 2)
    np.testing.assert_array_equal(plan.left, number % max(columns, 1) * grid - (plan.input_px - grid) // 2)
    np.testing.assert_array_equal(plan.kept[:, 2:] - plan.kept[:, :2], grid)


def test_pixels_that_no_tile_covers_are_zero() -> None:
    plan = plan_tiles(10, 9, patch_px=4, tiling=TilingConfig(padding_px=0, remainder="left_out"))

    stitched = stitch(plan, windows_of(np.ones((2, 10, 9), np.float32), plan, 3), structure_channels=2)

    assert stitched.sum() == 2 * 8 * 8
    assert np.all(stitched[:, :8, :8] == 1)


def test_a_frame_smaller_than_the_grid_has_no_tiles_without_the_remainder() -> None:
    plan = plan_tiles(10, 9, patch_px=16, tiling=TilingConfig(padding_px=0, remainder="left_out"))

    assert batches(plan, 8) == []
    assert not stitch(plan, [], structure_channels=2).any()
