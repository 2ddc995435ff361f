"""Test frames, scored under every tiling."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.usplit_core.inference.fakes import structures, tiny_run, write_model
from usplit_core.checkpoint import load_model
from usplit_core.config import TilingConfig
from usplit_core.data.mixing import prepare, superimpose
from usplit_core.data.sampling import PatchSource
from usplit_core.data.splits import Parts
from usplit_core.errors import ConfigError, DataError
from usplit_core.inference import evaluation as evaluation_module
from usplit_core.inference.calibration import BINS
from usplit_core.inference.evaluation import Evaluation, evaluate
from usplit_core.inference.metrics import scale_invariant_psnr
from usplit_core.inference.micro_ssim import is_installed
from usplit_core.inference.prediction import Splitter
from usplit_core.inference.sample import most_structure
from usplit_core.inference.scoring import SCORES, SEAM_SCORES, score_frame, summarise
from usplit_core.inference.seams import seam_lines
from usplit_core.inference.tile_prediction import FramePrediction, predict_frame, windows_of
from usplit_core.inference.tiling import plan_tiles
from usplit_core.vocabulary import metric

NAMES = (*SCORES, *SEAM_SCORES, *(("micro_ssim",) if is_installed() else ()))
TRAIN = structures()
PARTS = Parts(TRAIN, TRAIN[:1], structures(frames=2, height=35, width=300, seed=1), {})
TILINGS = (
    TilingConfig(padding_px=4),
    TilingConfig(padding_px=0, samples=2),
    TilingConfig(mode="outer", padding_px=8),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "best.safetensors", tiny_run(), TRAIN)


@pytest.fixture(scope="module")
def evaluations(model: Path) -> list[Evaluation]:
    return evaluate(model, PARTS, TILINGS)


def test_each_tiling_is_told_as_soon_as_it_is_scored(model: Path) -> None:
    told: list[Evaluation] = []

    done = evaluate(model, PARTS, TILINGS, on_done=told.append)

    assert [evaluation.tiling for evaluation in told] == list(TILINGS)
    assert [evaluation.metrics["test/psnr_db"] for evaluation in told] == [
        evaluation.metrics["test/psnr_db"] for evaluation in done
    ]


def test_tilings_that_come_to_the_same_are_predicted_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted: list[TilingConfig] = []

    def count(*arguments: Any, tiling: TilingConfig, seed: int) -> FramePrediction:
        predicted.append(tiling)
        return predict_frame(*arguments, tiling=tiling, seed=seed)

    monkeypatch.setattr(evaluation_module, "predict_frame", count)
    same = [TilingConfig(mode=mode, padding_px=0) for mode in ("inner", "outer")]
    tilings = [*same, TilingConfig(padding_px=0, samples=2), TilingConfig(padding_px=4)]
    hae = write_model(tmp_path / "hae.safetensors", tiny_run(model__architecture="hae"), TRAIN)

    inner, outer, several, other = evaluate(model, PARTS, tilings)
    assert len(predicted) == 3 * 2  # test frames
    assert [inner.tiling, outer.tiling, several.tiling, other.tiling] == tilings
    assert inner.metrics == outer.metrics
    assert len({inner.metrics["test/psnr_db"], several.metrics["test/psnr_db"], other.metrics["test/psnr_db"]}) == 3

    predicted.clear()
    evaluate(model, PARTS, [same[0], same[0].model_copy(update={"precision": "bfloat16"})])
    assert len(predicted) == 2 * 2

    predicted.clear()
    one, _, two, _ = evaluate(hae, PARTS, tilings)
    assert len(predicted) == 2 * 2
    assert one.frames == two.frames


def test_there_is_a_row_a_frame_and_channel_and_it_is_json(evaluations: list[Evaluation]) -> None:
    for evaluation in evaluations:
        np.testing.assert_equal(json.loads(json.dumps(evaluation.frames)), evaluation.frames)
        assert [(row["frame"], row["channel"]) for row in evaluation.frames] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        assert all(set(row) == {"frame", "channel", *NAMES} for row in evaluation.frames)


def test_metrics_are_means_over_frames_then_channels_and_in_the_vocabulary(evaluations: list[Evaluation]) -> None:
    for evaluation in evaluations:
        for name in NAMES:
            scores = np.array([row[name] for row in evaluation.frames]).reshape(2, 2)
            assert evaluation.metrics[f"test/{name}"] == pytest.approx(scores.mean(), nan_ok=True)
            assert evaluation.metrics[f"test/{name}/1"] == pytest.approx(scores[:, 1].mean(), nan_ok=True)
        assert evaluation.metrics["test/seconds"] > 0
        assert all(metric(key) for key in evaluation.metrics)


def test_frames_are_scored_against_clipped_targets_in_normalised_units(
    model: Path, evaluations: list[Evaluation]
) -> None:
    module, saved = load_model(model)
    source = PatchSource.from_frames(PARTS.test, saved.statistics, saved.run.data, lc_depth=1)
    prediction = predict_frame(module, windows_of(source, 1), (35, 300), tiling=TILINGS[0], seed=1).mean
    target = prepare(PARTS.test, saved.statistics)[1]

    expected = scale_invariant_psnr(target, prediction)
    assert evaluations[0].frames[3]["scale_invariant_psnr_db"] == pytest.approx(expected[1], abs=1e-3)


def test_an_evaluated_frame_is_split_like_its_superimposed_image(tmp_path: Path) -> None:
    run = tiny_run(model__architecture="hae", data__clip_quantile=1)
    path = write_model(tmp_path / "best.safetensors", run, TRAIN)
    parts = Parts(TRAIN, TRAIN[:1], TRAIN[:1], {})

    (evaluation,) = evaluate(path, parts, TILINGS[:1])

    image = TRAIN[0].astype(np.float32).mean(axis=0)
    split = Splitter.load(path).split(image, tiling=TILINGS[0])
    np.testing.assert_allclose(evaluation.sample["prediction"], split, rtol=1e-4)


def test_samples_are_the_same_place_for_every_tiling_and_model(evaluations: list[Evaluation], tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.safetensors", tiny_run(model__filters=2), TRAIN, seed=5)
    (elsewhere,) = evaluate(other, PARTS, TILINGS[2:])

    for evaluation in [*evaluations, elsewhere]:
        assert evaluation.sample["input"].shape == (35, 256)
        assert evaluation.sample["prediction"].shape == evaluation.sample["target"].shape == (2, 35, 256)
        np.testing.assert_array_equal(evaluation.sample["input"], evaluations[0].sample["input"])
        np.testing.assert_array_equal(evaluation.sample["target"], evaluations[0].sample["target"])
    assert not np.array_equal(elsewhere.sample["prediction"], evaluations[2].sample["prediction"])


def test_samples_are_in_intensities_and_the_input_is_the_superposition_of_the_targets(
    model: Path, evaluations: list[Evaluation]
) -> None:
    _, saved = load_model(model)
    sample = evaluations[0].sample

    np.testing.assert_allclose(superimpose(sample["target"], saved.statistics.weights), sample["input"], rtol=1e-5)
    assert sample["target"].max() <= saved.statistics.clip[0] * (1 + 1e-6)
    assert all(image.dtype == np.float32 for image in sample.values())


def test_calibration_is_told_where_a_pixel_is_predicted_more_than_once(evaluations: list[Evaluation]) -> None:
    single, several, _ = evaluations

    assert "calibration" not in single.sample
    assert several.sample["calibration"].shape == (2, BINS, 3)
    assert several.sample["calibration"][..., 0].sum(axis=1).tolist() == [2 * 35 * 300] * 2
    assert "test/calibration_error" not in single.metrics
    assert several.metrics["test/calibration_error/1"] > 0


def test_what_a_tiling_leaves_out_is_not_scored(model: Path) -> None:
    tilings = [TilingConfig(padding_px=4, remainder="left_out")]
    cropped = PARTS._replace(test=PARTS.test[..., :32, :296])

    (whole,) = evaluate(model, PARTS, tilings)
    (part,) = evaluate(model, cropped, tilings)

    # Only what lies beyond the frame differs.
    assert whole.metrics["test/psnr_db"] == pytest.approx(part.metrics["test/psnr_db"], abs=0.5)


def test_a_frame_without_a_whole_tile_is_refused_where_the_remainder_is_left_out(model: Path) -> None:
    small = PARTS._replace(test=PARTS.test[..., :6, :])

    with pytest.raises(DataError, match=r"6 x 300 px .* smaller than a tile of 8 px"):
        evaluate(model, small, [TilingConfig(padding_px=4, remainder="left_out")])


def test_a_tiling_that_the_network_cannot_take_is_refused_before_anything_is_predicted(model: Path) -> None:
    told: list[Evaluation] = []

    with pytest.raises(ConfigError, match="leaves nothing"):
        evaluate(model, PARTS, [TILINGS[0], TilingConfig(padding_px=8)], on_done=told.append)
    assert told == []


def test_without_test_frames_there_is_nothing_to_score(model: Path) -> None:
    with pytest.raises(DataError, match="no test frames"):
        evaluate(model, PARTS._replace(test=PARTS.test[:0]), TILINGS)


def test_an_empty_frame_has_no_psnr_and_does_not_count() -> None:
    random = np.random.default_rng(0)
    target, prediction = random.normal(size=(2, 2, 16, 16))
    empty = np.zeros((2, 16, 16))

    seams = seam_lines(plan_tiles(16, 16, patch_px=16, tiling=TilingConfig(padding_px=4)))
    rows = score_frame(0, target, prediction, seams) + score_frame(1, empty, prediction, seams)

    assert np.isnan(rows[2]["psnr_db"])
    assert summarise(rows)["test/psnr_db/0"] == rows[0]["psnr_db"]
    assert np.isnan(summarise(rows[2:])["test/psnr_db"])


def test_the_sample_shows_where_all_channels_have_structure() -> None:
    random = np.random.default_rng(0)
    frame = random.normal(0, 0.1, (2, 96, 128))
    frame[0, :48] += random.normal(0, 5, (48, 128))
    frame[1, :, 64:] += random.normal(0, 0.5, (96, 64))

    top, left, _ = most_structure(frame, 32, 32)

    assert top + 32 <= 48
    assert left >= 64


def test_the_sample_does_not_depend_on_units() -> None:
    frame = np.random.default_rng(0).gamma(1.0, 1.0, (2, 50, 70))
    scaled = frame * np.array([1e-3, 1e3])[:, None, None] + 7

    assert most_structure(frame, 32, 16)[:2] == most_structure(scaled, 32, 16)[:2]


def test_a_frame_smaller_than_the_sample_is_shown_whole() -> None:
    assert most_structure(np.random.default_rng(0).normal(size=(2, 9, 7)), 9, 7)[:2] == (0, 0)


def test_the_sample_can_lie_in_the_last_corner() -> None:
    frame = np.zeros((2, 45, 61))
    frame[:, -5:, -5:] = np.random.default_rng(0).normal(size=(5, 5))

    assert most_structure(frame, 16, 16)[:2] == (29, 45)
