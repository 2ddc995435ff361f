"""Whole images, split tile by tile."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.usplit_core.inference.fakes import UNCLIPPED, Repeater, repeat, structures, tiny_run, write_model
from usplit_core.config import TilingConfig
from usplit_core.data.image_files import open_image
from usplit_core.data.mixing import fit_statistics
from usplit_core.errors import CheckpointError, ConfigError, DataError
from usplit_core.inference.prediction import Splitter
from usplit_core.inference.tile_prediction import default_batch_size, posterior_samples
from usplit_core.inference.tiling import FloatArray

TRAIN = structures()


@pytest.fixture(scope="module")
def splitter(tmp_path_factory: pytest.TempPathFactory) -> Splitter:
    return Splitter.load(write_model(tmp_path_factory.mktemp("model") / "best.safetensors", tiny_run(), TRAIN))


@pytest.fixture
def image() -> FloatArray:
    return np.asarray(TRAIN[0].mean(axis=0), dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(2, 60),
    width=st.integers(2, 60),
    mode=st.sampled_from(["inner", "outer", "sliding"]),
    padding_px=st.sampled_from([0, 2, 4, 6]),
    border=st.sampled_from([None, "reflect", "constant", "shift"]),
    batch_size=st.integers(1, 20),
)
def test_a_network_that_repeats_its_input_gives_the_image(
    height: int, width: int, mode: str, padding_px: int, border: str | None, batch_size: int
) -> None:
    assume(not (mode == "sliding" and border == "shift"))
    image = np.random.default_rng(height * width).normal(300, 50, (height, width)).astype(np.float32)
    tiling = TilingConfig.model_validate({"mode": mode, "padding_px": padding_px, "border": border})

    repeated = repeat(image, tiling, batch_size=batch_size)

    np.testing.assert_allclose(repeated, np.stack([image, image]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("border", ["reflect", "constant"])
def test_an_image_smaller_than_a_patch_is_padded_by_the_rule_of_the_border(border: str) -> None:
    image = np.random.default_rng(0).normal(300, 50, (5, 9)).astype(np.float32)
    run = tiny_run(data__clip_quantile=1, data__target_normalisation="pooled", data__border=border)
    seen = []

    class Watcher(Repeater):
        def encode(self, input: torch.Tensor, **how: Any) -> tuple[torch.Tensor, ...]:
            seen.append(input[0, 0].numpy())
            return super().encode(input, **how)

    repeat(image, TilingConfig(padding_px=4), network=Watcher(), run=run)
    repeat(image, TilingConfig.model_validate({"padding_px": 4, "border": border}), network=Watcher())

    statistics = fit_statistics(TRAIN, run.data)
    expected = np.pad(image, ((4, 7), (4, 3)), mode="reflect" if border == "reflect" else "constant")
    for window in (seen[0], seen[-1]):  # as in the training, and as asked for
        np.testing.assert_allclose(window * statistics.input_std + statistics.input_mean, expected, atol=1e-3)


def test_samples_are_averaged_and_share_one_encoder_pass_a_batch(image: FloatArray) -> None:
    network = Repeater(drift=1.0)

    prediction = repeat(image, TilingConfig(samples=4, padding_px=4), network=network, batch_size=1000)

    scale = fit_statistics(TRAIN, UNCLIPPED.data).target_std[0]
    assert (network.encoded, network.decoded) == (1, 4)
    np.testing.assert_allclose(prediction[0], image + scale * (1 + 2 + 3 + 4) / 4, rtol=1e-5)


def test_the_deviation_is_that_of_the_samples_and_in_intensities(splitter: Splitter, image: FloatArray) -> None:
    single = splitter.split_with_std(image, tiling=TilingConfig(padding_px=4))
    several = splitter.split_with_std(image, tiling=TilingConfig(padding_px=4, samples=30), batch_size=1000)
    sliding = splitter.split_with_std(image, tiling=TilingConfig(mode="sliding", padding_px=4))

    assert single.std is None
    assert several.std is not None
    assert sliding.std is not None
    assert several.std.shape == sliding.std.shape == several.mean.shape
    spread = np.std(single.mean - several.mean, axis=(1, 2))
    np.testing.assert_allclose(np.sqrt(np.square(several.std).mean(axis=(1, 2))), spread, rtol=0.2)


@pytest.mark.parametrize("architecture", ["hae", "unet"])
def test_a_deterministic_network_is_asked_once(architecture: str) -> None:
    run = tiny_run(model__architecture=architecture)

    assert posterior_samples(run.model, TilingConfig(samples=50)) == 1
    assert posterior_samples(tiny_run().model, TilingConfig(samples=50)) == 50


def test_the_result_has_the_intensities_and_the_type_of_float32_images(splitter: Splitter, image: FloatArray) -> None:
    prediction = splitter.split(image)

    assert prediction.dtype == np.float32
    assert prediction.shape == (2, *image.shape)
    middle = prediction.mean(axis=(1, 2))
    np.testing.assert_allclose(middle, splitter.saved.statistics.target_mean, rtol=0.5)


def test_the_same_call_gives_the_same_result_and_leaves_random_numbers_alone(
    splitter: Splitter, image: FloatArray
) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)

    torch.manual_seed(7)
    first = splitter.split(image, tiling=TilingConfig(padding_px=4, samples=2))
    drawn = torch.rand(3)
    torch.manual_seed(8)
    second = splitter.split(image, tiling=TilingConfig(padding_px=4, samples=2))

    np.testing.assert_array_equal(first, second)
    assert torch.equal(drawn, expected)


def test_bfloat16_is_predicted_in_where_it_is_asked_for(tmp_path: Path, image: FloatArray) -> None:
    # Nothing is drawn in this network, so its rounding is all that differs.
    run = tiny_run(model__architecture="hae")
    splitter = Splitter.load(write_model(tmp_path / "best.safetensors", run, TRAIN))
    exact = splitter.split(image, tiling=TilingConfig(padding_px=4))
    rounded = splitter.split(image, tiling=TilingConfig(padding_px=4, precision="bfloat16"))
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.ptp(exact)


def test_more_samples_differ_less(splitter: Splitter, image: FloatArray) -> None:
    def spread(samples: int) -> float:
        tiling = TilingConfig(padding_px=4, samples=samples)
        return float(np.std(splitter.split(image, tiling=tiling) - splitter.split(image, tiling=tiling, batch_size=3)))

    assert 0 < spread(16) < 0.5 * spread(1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.float16, np.float64, ">u2", ">f4"])
def test_every_real_type_of_pixels_is_read(splitter: Splitter, dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, 127, (30, 20)).astype(np.float32)

    np.testing.assert_array_equal(splitter.split(image.astype(dtype)), splitter.split(image))


def test_pixels_brighter_than_any_training_input_are_clipped(splitter: Splitter, image: FloatArray) -> None:
    statistics = splitter.saved.statistics
    brightest = float(np.dot(statistics.weights, statistics.clip))
    outlier, clipped = image.copy(), image.copy()
    outlier[5, 6], clipped[5, 6] = 60000, brightest

    np.testing.assert_array_equal(splitter.split(outlier), splitter.split(clipped))


def test_what_no_tile_covers_is_0(splitter: Splitter, image: FloatArray, tmp_path: Path) -> None:
    tiling = TilingConfig(mode="inner", padding_px=2, remainder="left_out")
    kept_px = splitter.saved.run.model.patch_px - 4
    rows, columns = (side // kept_px * kept_px for side in image.shape)
    assert (rows, columns) < image.shape
    left_out = splitter.split(image, tiling=tiling)
    assert left_out[:, :rows, :columns].all()
    assert not left_out[:, rows:].any()
    assert not left_out[:, :, columns:].any()
    tifffile.imwrite(tmp_path / "image.tif", image)
    with open_image(str(tmp_path / "image.tif")) as opened:
        found = np.concatenate([rows.mean for rows in splitter.split_rows(opened, tiling=tiling)], axis=1)
    np.testing.assert_array_equal(found, left_out)


def test_a_sum_is_split_as_the_average_is(tmp_path: Path) -> None:
    summing = tiny_run(data__superposition="sum")
    sums = Splitter.load(write_model(tmp_path / "sum.safetensors", summing, TRAIN))
    averages = Splitter.load(write_model(tmp_path / "average.safetensors", tiny_run(), TRAIN))
    added = TRAIN[1].astype(np.float32).sum(axis=0)

    np.testing.assert_allclose(sums.split(added), averages.split(added / 2), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("architecture", "variant", "lc_depth", "depth"),
    [
        ("hvae", "vanilla", 0, 2),
        ("hvae", "lean", 1, 2),
        ("hvae", "regular", 2, 2),
        ("hvae", "deep", 1, 2),
        ("hae", "regular", 1, 2),
        ("unet", "vanilla", 0, 2),
        ("unet", "deep", 1, 2),
        ("bravenet", "vanilla", 0, 2),
        ("bravenet", "regular", 1, 2),
    ],
)
def test_every_network_covers_images_of_any_size_under_every_tiling(
    tmp_path: Path, architecture: str, variant: str, lc_depth: int, depth: int
) -> None:
    run = tiny_run(
        model__architecture=architecture, model__variant=variant, model__lc_depth=lc_depth, model__depth=depth
    )
    splitter = Splitter.load(write_model(tmp_path / "best.safetensors", run, TRAIN))
    image = np.random.default_rng(0).normal(300, 50, (33, 21))

    for tiling in (TilingConfig(padding_px=4), TilingConfig(mode="outer", padding_px=4, samples=2)):
        prediction = splitter.split(image, tiling=tiling)

        assert prediction.shape == (2, 33, 21)
        assert np.array_equal(prediction, splitter.split(image, tiling=tiling))


def test_a_network_that_has_diverged_is_named(image: FloatArray) -> None:
    with pytest.raises(CheckpointError, match="its training has diverged"):
        repeat(image, TilingConfig(padding_px=4), network=Repeater(drift=float("nan")))


def test_progress_counts_tiles(splitter: Splitter, image: FloatArray) -> None:
    told: list[tuple[int, int]] = []

    splitter.split(image, batch_size=10, progress=lambda done, total: told.append((done, total)))

    assert told == [(9, 35), (18, 35), (27, 35), (35, 35)]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 40, 40)), "give one superimposed image"),
        (np.zeros((0, 40)), "give one superimposed image"),
        (np.zeros((40, 40), complex), "integers or real numbers"),
        (np.where(np.eye(40) > 0, np.nan, 1.0), "40 pixels of the image are NaN"),
        (np.full((40, 40), 1e300), "beyond float32"),
        (np.zeros((1, 40)), "lc_depth"),
    ],
)
def test_an_image_that_cannot_be_split_is_refused(splitter: Splitter, image: FloatArray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        splitter.split(image)


def test_a_tiling_that_keeps_nothing_is_refused(splitter: Splitter, image: FloatArray) -> None:
    with pytest.raises(ConfigError, match="leaves nothing of a 16 px patch"):
        splitter.split(image, tiling=TilingConfig(padding_px=8))


def test_a_batch_without_tiles_is_refused(splitter: Splitter, image: FloatArray) -> None:
    with pytest.raises(ConfigError, match="batch_size = 0"):
        splitter.split(image, batch_size=0)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        Splitter.load(tmp_path / "nothing.safetensors")


def test_larger_tiles_are_predicted_in_smaller_batches() -> None:
    model, device = tiny_run(model__filters=64).model, torch.device("cpu")

    assert default_batch_size(model, 128, device) * 4 <= default_batch_size(model, 64, device)
    assert default_batch_size(model, 4096, device) == 1
    assert default_batch_size(model, 64, torch.device("cuda")) > default_batch_size(model, 64, device)
