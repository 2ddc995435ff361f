"""The answer in one sentence."""

from collections.abc import Mapping
from typing import Any

import pytest

from analysis.comparison import effects, study_scores
from analysis.intervals import format_interval
from analysis.records import StudyRecord
from analysis.verdict import caveats, gains, in_words, verdict
from tests.analysis.planted import planted_study


def test_the_best_cell_is_compared_with_the_first_level(record: StudyRecord) -> None:
    found = verdict(record)
    assert found.reference is not None
    assert (found.best.levels, found.reference.levels) == ({"model.lc_depth": 2}, {"model.lc_depth": 0})
    text = in_words(found)
    assert "LC depth 2, with a mean of 32.25 dB" in text
    assert "1.75 dB more than LC depth 0 (95 % interval of the difference +1.70 to +1.80; 2 seeds, paired)" in text
    assert [gain.levels for gain in gains(record, found)] == [{"model.lc_depth": 2}]
    assert any("+1.75 dB (+1.75 to +1.75), n = 3 frames" in note for note in caveats(found))
    assert any("fewer than 5" in note for note in caveats(found))


def test_one_seed_makes_no_claim_of_certainty(record: StudyRecord) -> None:
    single = record._replace(evaluations=tuple(row for row in record.evaluations if row.seed == 0))
    assert "one seed, no interval" in in_words(verdict(single))


def test_an_interval_with_zero_is_called_so(record: StudyRecord) -> None:
    key = "test/scale_invariant_psnr_db"
    equal = tuple(
        row._replace(metrics={key: 30 + 0.1 * (row.seed == 0) * (1 if row.settings["model.lc_depth"] else -1)})
        if row.seed in (0, 1) else row
        for row in record.evaluations
    )  # fmt: skip
    shifted = tuple(
        row._replace(metrics={key: row.metrics[key] - 0.05 * bool(row.settings["model.lc_depth"])}) for row in equal
    )
    assert "includes no difference" in in_words(verdict(record._replace(evaluations=shifted)))


def test_the_reference_may_be_the_best(record: StudyRecord) -> None:
    key = "test/scale_invariant_psnr_db"
    reversed_scores = tuple(row._replace(metrics={key: -row.metrics[key]}) for row in record.evaluations)
    found = verdict(record._replace(evaluations=reversed_scores))
    assert found.difference is None
    assert in_words(found).startswith("The reference, LC depth 0, is the best")


def test_cells_that_share_no_seed_are_not_paired(record: StudyRecord) -> None:
    apart = tuple(row for row in record.evaluations if (row.seed == 0) == (row.settings["model.lc_depth"] == 0))
    assert "cannot be paired" in in_words(verdict(record._replace(evaluations=apart)))


def test_one_cell_with_results_is_not_called_the_best(record: StudyRecord) -> None:
    half = tuple(row for row in record.evaluations if row.settings["model.lc_depth"] == 2)
    assert in_words(verdict(record._replace(evaluations=half))).startswith(
        "Only LC depth 2 has results so far: 32.25 dB"
    )


def test_values_drawn_from_a_range_have_no_reference(record: StudyRecord) -> None:
    found = verdict(record._replace(train={"model.lc_depth": ()}))
    assert found.reference is None
    assert in_words(found).endswith("on the test frames (inner tiling, 16 px padding; 2 seeds).")


def test_a_study_of_one_cell_reports_its_score(record: StudyRecord) -> None:
    trials = tuple(trial for trial in record.trials if trial.settings["model.lc_depth"] == 0)
    names = {trial.fingerprint for trial in trials}
    evaluations = tuple(row for row in record.evaluations if row.trial in names)
    assert in_words(verdict(record._replace(trials=trials, evaluations=evaluations))) == (
        "The model reaches 30.50 dB scale-invariant PSNR on the test frames (inner tiling, 16 px padding; 2 seeds)."
    )


def test_one_frame_is_not_called_frames(record: StudyRecord) -> None:
    found = verdict(record)
    assert found.by_frame is not None
    one = found.by_frame._replace(summary=found.by_frame.summary._replace(n=1, interval=None))
    notes = caveats(found._replace(by_frame=one))
    assert any(note.endswith("n = 1 frame.") for note in notes)


def test_seeds_and_frames_are_resampled_together(record: StudyRecord) -> None:
    assert any("n = 2 seeds × 3 frames" in note for note in caveats(verdict(record)))


def _easy_and_hard(settings: Mapping[str, Any], seed: int) -> float:
    """Return a score that depends on the images far more than on the network."""
    gain = 0.5 if settings["data.path"] == "easy.tif" else 0.3
    base = 40.0 if settings["data.path"] == "easy.tif" else 25.0
    return float(base + 0.1 * seed + gain * (settings["model.lc_depth"] > 0))


def test_networks_are_compared_on_the_same_images_and_never_images_with_each_other() -> None:
    tasks = planted_study(_easy_and_hard, train={"data.path": ("easy.tif", "hard.tif"), "model.lc_depth": (0, 2)})
    found = verdict(tasks)
    assert found.best.levels == {"model.lc_depth": 2}
    assert found.best.summary.mean == pytest.approx(33.0)
    assert found.difference is not None
    assert found.difference.summary.mean == pytest.approx(0.4)
    alone = {gain.task: gain.difference.summary.mean for gain in found.tasks if gain.difference is not None}
    assert alone == pytest.approx({"easy.tif": 0.5, "hard.tif": 0.3})
    assert "mean over 2 kinds of images" in in_words(found)
    notes = " ".join(caveats(found))
    assert "easy.tif: +0.50 dB (+0.50 to +0.50), n = 3; hard.tif: +0.30 dB" in notes
    assert "n = 6 frames" in notes
    assert {effect.factor for effect in effects(tasks)} == {"model.lc_depth"}
    assert study_scores([tasks])[0].best == found.best


def test_a_network_that_lacks_the_hard_images_is_no_winner() -> None:
    tasks = planted_study(_easy_and_hard, train={"data.path": ("easy.tif", "hard.tif"), "model.lc_depth": (0, 2, 4)})
    lacking = tuple(
        row for row in tasks.evaluations
        if (row.settings["data.path"], row.settings["model.lc_depth"]) != ("hard.tif", 4)
    )  # fmt: skip
    found = verdict(tasks._replace(evaluations=lacking))
    assert found.cells == 2
    assert found.best.levels == {"model.lc_depth": 2}


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (1.75, 1.7, 1.8, "+1.75 (+1.70 to +1.80)"),
        (0.0, -0.0012, 0.0009, "0.0000 (-0.0012 to +0.0009)"),
        (0.0, 0.0, 0.0, "0.00 (0.00 to 0.00)"),
        (-0.013, -0.026, -0.0004, "-0.0130 (-0.0260 to -0.0004)"),
        (-0.018, -0.036, -0.00008, "-0.0180 (-0.0360 to -0.0001)"),
        (0.237, -0.008, 0.483, "+0.24 (-0.01 to +0.48)"),
        (12.3, -1e-9, 24.6, "+12.30 (0.00 to +24.60)"),
    ],
)
def test_an_interval_shows_digits_that_count(value: float, low: float, high: float, text: str) -> None:
    assert format_interval(value, (low, high), signed=True) == text
