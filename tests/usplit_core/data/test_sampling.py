"""Batches equal the authors' patches, follow from seed and step, and lose no position."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.usplit_core.data.patches import batch_of, build_pyramid
from usplit_core.config import DataConfig
from usplit_core.data import mixing, sampling
from usplit_core.data.mixing import Statistics, fit_statistics
from usplit_core.data.sampling import PatchSource, steps_of_epoch
from usplit_core.data.splits import split
from usplit_core.errors import DataError
from usplit_core.settings import resolve


def config(**values: Any) -> DataConfig:
    return DataConfig(path="images.tif", **values)


def source(pixels: NDArray[Any], data: DataConfig, lc_depth: int = 2) -> PatchSource:
    return PatchSource.from_frames(pixels, fit_statistics(pixels, data), data, lc_depth=lc_depth)


def plain(data: DataConfig) -> Statistics:
    """Return statistics that change nothing: what a batch holds are intensities."""
    return Statistics((np.inf,) * 2, 0.0, mixing.mixing_weights(data), 0.0, 1.0, (0.0, 0.0), (1.0, 1.0))


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 60_000, (3, 2, 40, 48), np.uint16)


def test_patches_equal_the_authors(repository: Path) -> None:
    reference = np.load(repository / "tests" / "reference" / "patches.npz")
    frames = np.stack([reference["channel_0"], reference["channel_1"]], axis=1)
    parts = split(frames, config())
    statistics = fit_statistics(parts.train, config())
    test = PatchSource.from_frames(parts.test, statistics, config(), lc_depth=4)
    frame, top, left = reference["test_frame_y_x"].T
    np.testing.assert_allclose(test.windows(frame, top, left, 64), reference["input"], atol=1e-4)
    targets = mixing.denormalise_target(test.target(0), statistics).numpy()
    wide = np.pad(targets, ((0, 0), (64, 64), (64, 64)), mode="reflect")
    for row, column, expected in zip(top + 64, left + 64, reference["target"], strict=True):
        np.testing.assert_allclose(wide[:, row : row + 64, column : column + 64], expected, atol=1e-3)


@pytest.mark.parametrize("border", ["reflect", "constant"])
@pytest.mark.parametrize("weight_range", [None, (0.5, 0.5)])
def test_superimposed_images_give_the_inputs_of_their_channels(
    frames: NDArray[Any], border: str, weight_range: tuple[float, float] | None
) -> None:
    data = config(border=border, mixing_weight_range=weight_range)
    statistics = fit_statistics(frames, data)
    mixed = mixing.superimpose(mixing.prepare(frames, statistics), statistics.weights)
    pair = PatchSource.from_frames(frames, statistics, data, lc_depth=3)
    single = PatchSource.from_images(mixed, statistics, data, lc_depth=3)
    place = [0, 1, 2], [-9, 20, 39], [30, -17, 47]
    torch.testing.assert_close(pair.windows(*place, 16), single.windows(*place, 16), rtol=1e-4, atol=1e-5)
    if weight_range:
        drawn = batch_of(pair, 3, 4, batch_size=5, patch_px=16)
        fixed = batch_of(source(frames, config(border=border), lc_depth=3), 3, 4, batch_size=5, patch_px=16)
        torch.testing.assert_close(drawn.input, fixed.input, rtol=1e-4, atol=1e-5)


def test_level_l_of_a_patch_is_the_downsampled_frame_there(frames: NDArray[Any]) -> None:
    data = config()
    raw = PatchSource.from_frames(frames, plain(data), data, lc_depth=2)
    window = raw.windows([1], [12], [20], 8)[0]
    levels = build_pyramid(torch.from_numpy(frames[1].mean(axis=0, dtype=np.float32))[None, None], 2)
    for level in range(3):
        top, left = (16 >> level) - 4, (24 >> level) - 4
        torch.testing.assert_close(window[level], levels[level][0, 0, top : top + 8, left : left + 8])


def test_beyond_a_constant_border_lies_zero_intensity(frames: NDArray[Any]) -> None:
    data = config(border="constant")
    statistics = fit_statistics(frames, data)
    outside = PatchSource.from_frames(frames, statistics, data, lc_depth=2).windows([0], [-100], [-100], 8)
    torch.testing.assert_close(outside, torch.full((1, 3, 8, 8), -statistics.input_mean / statistics.input_std))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31 - 1), step=st.integers(0, 10**6))
def test_a_batch_follows_from_seed_and_step(seed: int, step: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 2, 20, 24), np.uint8)
    data = config(augment=True, mixing_weight_range=(0.2, 0.8))
    first, second = source(pixels, data), source(pixels, data)
    batch_of(second, seed, step + 1, batch_size=4, patch_px=8)
    for one, other in zip(
        batch_of(first, seed, step, batch_size=4, patch_px=8),
        batch_of(second, seed, step, batch_size=4, patch_px=8),
        strict=True,
    ):
        assert torch.equal(one, other)
    assert not torch.equal(batch_of(first, seed, step + 1, batch_size=4, patch_px=8).target, one)


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("weight_range", [None, (0.2, 0.8)])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_batches_gathered_together_are_those_gathered_alone(
    frames: NDArray[Any],
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    weight_range: tuple[float, float] | None,
    augment: bool,
) -> None:
    monkeypatch.setattr(sampling, "GATHERED_PX", at_once * 4 * 15**2)
    patches = source(frames, config(augment=augment, mixing_weight_range=weight_range))
    sizes = {"batch_size": 4, "patch_px": 15}
    together = list(patches.training_batches(6, range(10, 17), **sizes))
    alone = [batch_of(patches, 6, step, **sizes) for step in range(10, 17)]
    torch.testing.assert_close(list(map(list, together)), list(map(list, alone)), rtol=0, atol=0)


def test_all_positions_are_drawn_the_last_ones_too() -> None:
    pixels = np.arange(2 * 2 * 6 * 7, dtype=np.uint16).reshape(2, 2, 6, 7)
    data = config()
    raw = PatchSource.from_frames(pixels, plain(data), data, lc_depth=0)
    corners = batch_of(raw, 0, 0, batch_size=4000, patch_px=4).target[:, 0, 0, 0]
    values, counts = np.unique(corners.numpy(), return_counts=True)
    assert values.tolist() == pixels[:, 0, :3, :4].ravel().tolist()
    assert counts.min() > 110  # of 167 expected


def test_augmentation_turns_levels_and_target_together() -> None:
    pixels = np.random.default_rng(0).random((1, 2, 8, 8), np.float32)
    data = config(augment=True, mixing_weights=(1, 0))
    raw = PatchSource.from_frames(pixels, plain(data), data, lc_depth=1)
    batch = batch_of(raw, 0, 0, batch_size=200, patch_px=8)
    straight = raw.windows([0], [0], [0], 8)[0]
    torch.testing.assert_close(batch.input[:, 0], batch.target[:, 0])
    seen = set()
    for patch in batch.input:
        turned = [
            (turns, flip)
            for turns in range(4)
            for flip in (False, True)
            if torch.equal(torch.rot90(straight.flip(-1) if flip else straight, turns, (-2, -1)), patch)
        ]
        assert len(turned) == 1
        seen.update(turned)
    assert len(seen) == 8


def test_drawn_mixing_weights_stay_in_their_range() -> None:
    pixels = np.zeros((1, 2, 8, 8), np.float32)
    pixels[:, 0] = 1
    data = config(mixing_weight_range=(0.2, 0.3))
    batch = batch_of(PatchSource.from_frames(pixels, plain(data), data, lc_depth=1), 0, 0, batch_size=50, patch_px=8)
    weights = batch.input[:, 0, 0, 0]
    assert 0.2 <= weights.min() < 0.22
    assert 0.28 < weights.max() <= 0.3
    torch.testing.assert_close(batch.input, weights[:, None, None, None].expand(50, 2, 8, 8))


def test_the_grid_starts_at_the_top_left_and_leaves_out_the_remainder(frames: NDArray[Any]) -> None:
    data = config()
    grid = source(frames, data)
    batches = list(grid.grid_batches(patch_px=14, batch_size=4))
    assert [len(batch.input) for batch in batches] == [4, 4, 4, 4, 2]
    model = {"model.patch_px": 14, "model.depth": 1, "model.lc_depth": 0, "tiling.padding_px": 2}
    run = resolve({"data.path": "cells.tif", "train.batch_size": 4, **model})
    assert steps_of_epoch(frames.shape, run) == len(batches)
    targets = torch.cat([batch.target for batch in batches])
    expected = [
        grid.target(frame)[:, top : top + 14, left : left + 14]
        for frame in range(3)
        for top in (0, 14)
        for left in (0, 14, 28)
    ]
    torch.testing.assert_close(targets, torch.stack(expected))


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.uint64, np.float16, np.float64]
)
def test_every_pixel_type_is_kept_without_loss(dtype: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 120, (1, 2, 8, 9)).astype(dtype)
    if dtype == np.uint16:
        pixels[0, 0, 0, 0] = 65_535
    data = config()
    raw = PatchSource.from_frames(pixels, plain(data), data, lc_depth=0)
    assert raw.shape == (1, 2, 8, 9)
    np.testing.assert_array_equal(raw.target(0).numpy(), pixels[0].astype(np.float32))
    np.testing.assert_array_equal(raw.windows([0], [-2], [3], 8).shape, (1, 1, 8, 8))


def test_no_training_input_is_brighter_than_what_a_superimposed_image_is_clipped_at(frames: NDArray[Any]) -> None:
    dim = (frames * np.array([1, 0.1])[:, None, None]).astype(np.uint16)
    data = config(mixing_weight_range=(0.1, 0.9), clip_per_channel=True, clip_quantile=0.9)
    statistics = fit_statistics(dim, data)
    pairs = PatchSource.from_frames(dim, statistics, data, lc_depth=0)
    seen = max(float(batch_of(pairs, 0, step, batch_size=8, patch_px=16).input.max()) for step in range(20))
    limit = mixing.superimposed_statistics(statistics, data)
    assert seen * statistics.input_std + statistics.input_mean <= limit.clip[0]
    fixed = mixing.superimposed_statistics(statistics, config(clip_per_channel=True))
    assert fixed.clip[0] < seen * statistics.input_std + statistics.input_mean


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_drawing_batches_leaves_frames_and_earlier_batches_as_they_were(frames: NDArray[Any], dtype: Any) -> None:
    pixels = frames.astype(dtype)
    patches = source(pixels, config())
    first = batch_of(patches, 0, 0, batch_size=4, patch_px=16)
    kept = [tensor.clone() for tensor in first]
    batch_of(patches, 0, 1, batch_size=4, patch_px=16)
    np.testing.assert_array_equal(pixels, frames)
    torch.testing.assert_close(list(first), kept, rtol=0, atol=0)
    torch.testing.assert_close(list(batch_of(patches, 0, 0, batch_size=4, patch_px=16)), kept, rtol=0, atol=0)


def test_shared_frames_that_are_read_only_are_used_in_place() -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (2, 2, 16, 16), np.uint16)
    pixels.flags.writeable = False
    shared = source(pixels, config(), lc_depth=1)
    batch_of(shared, 0, 0, batch_size=2, patch_px=8)
    assert shared._levels.native.data_ptr() == pixels.ctypes.data


def test_windows_of_several_sizes_can_be_mixed_with_batches(frames: NDArray[Any]) -> None:
    mixed = source(frames, config())
    before = batch_of(mixed, 0, 0, batch_size=2, patch_px=16).input
    small, far = mixed.windows([0], [-3], [5], 8), mixed.windows([0], [-30], [5], 8)
    torch.testing.assert_close(batch_of(mixed, 0, 0, batch_size=2, patch_px=16).input, before)
    torch.testing.assert_close(mixed.windows([0], [-3], [5], 8), small)
    assert not torch.equal(small, far)


def test_frames_smaller_than_a_patch_are_refused(frames: NDArray[Any]) -> None:
    with pytest.raises(DataError, match=r"lower model\.patch_px to at most 40"):
        batch_of(source(frames, config()), 0, 0, batch_size=1, patch_px=41)
    with pytest.raises(DataError, match="at most 5"):
        source(frames, config(), lc_depth=6)
