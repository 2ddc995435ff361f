"""Intensities are clipped, superimposed and normalised as in the paper, and come back."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from usplit_core.config import DataConfig
from usplit_core.data import mixing
from usplit_core.data.mixing import Statistics, fit_statistics
from usplit_core.data.splits import split
from usplit_core.errors import DataError


def config(**settings: Any) -> DataConfig:
    return DataConfig(path="images.tif", **settings)


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint16]:
    generator = np.random.default_rng(0)
    return generator.gamma(2.0, [[[200.0]], [[300.0]]], (3, 2, 20, 30)).astype(np.uint16)


def test_clip_value_mean_and_deviation_equal_the_authors(repository: Path) -> None:
    reference = np.load(repository / "tests" / "reference" / "patches.npz")
    frames = np.stack([reference["channel_0"], reference["channel_1"]], axis=1)
    statistics = fit_statistics(split(frames, config()).train, config())
    assert statistics.clip == (reference["clip_value"],) * 2
    assert statistics.input_mean == pytest.approx(reference["mean"].flat[0], abs=1e-4)
    assert statistics.input_std == pytest.approx(reference["std"].flat[0], abs=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("per_channel", [True, False])
def test_clip_values_are_quantiles_for_every_type(frames: NDArray[Any], dtype: Any, per_channel: bool) -> None:
    pixels = (frames % 251).astype(dtype)
    clip = fit_statistics(pixels, config(clip_quantile=0.937, clip_per_channel=per_channel)).clip
    axes = (0, 2, 3) if per_channel else None
    assert clip == pytest.approx(np.broadcast_to(np.quantile(pixels, 0.937, axis=axes), 2))


def test_targets_are_normalised_per_channel_and_inputs_by_pooled_numbers(frames: NDArray[Any]) -> None:
    statistics = fit_statistics(frames, config())
    prepared = mixing.prepare(frames, statistics)
    targets = mixing.normalise_target(prepared, statistics)
    assert targets.mean(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-5)
    assert targets.std(axis=(0, 2, 3)) == pytest.approx(1, abs=1e-5)
    assert (statistics.input_mean, statistics.input_std) == pytest.approx((prepared.mean(), prepared.std()), rel=1e-5)
    pooled = fit_statistics(frames, config(target_normalisation="pooled"))
    assert pooled.target_mean == (pooled.input_mean,) * 2


def test_superimposed_normalisation_gives_inputs_of_unit_deviation(frames: NDArray[Any]) -> None:
    statistics = fit_statistics(frames, config(input_normalisation="superimposed", mixing_weights=(3, 1)))
    mixed = mixing.superimpose(mixing.prepare(frames, statistics), statistics.weights)
    inputs = mixing.normalise_input(mixed, statistics)
    assert (inputs.mean(), inputs.std()) == pytest.approx((0, 1), abs=1e-5)


def test_sum_and_average_give_the_same_normalised_input(frames: NDArray[Any]) -> None:
    inputs = []
    for superposition in ("sum", "average"):
        statistics = fit_statistics(frames, config(superposition=superposition))
        mixed = mixing.superimpose(mixing.prepare(frames, statistics), statistics.weights)
        inputs.append(mixing.normalise_input(mixed, statistics))
    np.testing.assert_allclose(inputs[0], inputs[1], atol=1e-5)


def test_background_of_each_frame_and_channel_is_removed_in_integers(frames: NDArray[Any]) -> None:
    background = np.arange(6, dtype=np.uint16).reshape(3, 2, 1, 1) * 1000
    removed = mixing.remove_background(frames + background, 0.3)
    np.testing.assert_array_equal(removed, mixing.remove_background(frames, 0.3))
    assert removed.dtype == np.int32
    assert removed.min() < 0
    assert mixing.remove_background(frames, 0.0) is frames
    reals = mixing.remove_background(frames / np.float32(1000), 0.5)
    assert np.median(reals, axis=(2, 3)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("superposition", "weights", "expected"),
    [("average", None, (0.5, 0.5)), ("sum", None, (1, 1)), ("average", (1, 3), (0.25, 0.75)), ("sum", (1, 3), (1, 3))],
)
def test_an_average_has_weights_of_sum_one(superposition: str, weights: Any, expected: tuple[float, float]) -> None:
    assert mixing.mixing_weights(config(superposition=superposition, mixing_weights=weights)) == expected


def test_a_constant_channel_is_refused(frames: NDArray[Any]) -> None:
    blank = frames.astype(np.float32)
    blank[:, 1] = 0.1
    with pytest.raises(DataError, match="channel 1 is constant"):
        fit_statistics(blank, config())


def test_statistics_come_back_from_their_record(frames: NDArray[Any]) -> None:
    for quantile in (0.9, 1.0):
        statistics = fit_statistics(frames, config(clip_quantile=quantile))
        assert math.isinf(statistics.clip[0]) == (quantile == 1)
        text = json.dumps(mixing.statistics_to_json(statistics), allow_nan=False)
        assert mixing.statistics_from_json(json.loads(text)) == statistics


numbers = st.floats(-1000, 1000, width=32)


@given(
    image=hnp.arrays(np.float32, st.tuples(st.integers(0, 2), st.just(2), st.just(3), st.just(2)), elements=numbers),
    mean=st.tuples(numbers, numbers),
    std=st.tuples(st.floats(0.1, 100), st.floats(0.1, 100)),
)
def test_denormalising_inverts_normalising(
    image: NDArray[np.float32], mean: tuple[float, float], std: tuple[float, float]
) -> None:
    statistics = Statistics((math.inf,) * 2, 0.0, (0.5, 0.5), 0.0, 1.0, mean, std)
    there = mixing.normalise_target(image, statistics)
    np.testing.assert_allclose(mixing.denormalise_target(there, statistics), image, rtol=1e-4, atol=1e-2)
    tensor = mixing.normalise_target(torch.from_numpy(image), statistics)
    np.testing.assert_allclose(tensor.numpy(), there, rtol=1e-5, atol=1e-5)
