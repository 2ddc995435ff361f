"""Which factors vary, and how they are spoken of."""

import pytest

from analysis.records import Evaluation, MissingRuns, Settings, StudyRecord
from analysis.selection import (
    axis_label,
    cells,
    describe,
    describe_tiling,
    evaluation_factors,
    format_value,
    headline,
    levels,
    reference_tiling,
    train_factors,
)


def test_only_factors_with_two_levels_in_the_store_vary(record: StudyRecord) -> None:
    assert train_factors(record) == ("model.lc_depth",)
    assert evaluation_factors(record) == ("tiling.mode", "tiling.padding_px")
    assert cells(record, ("model.lc_depth",)) == [{"model.lc_depth": 0}, {"model.lc_depth": 2}]


def test_numbers_go_by_size_and_names_by_the_search_space(record: StudyRecord) -> None:
    first = record.trials[0]
    wide = [
        first._replace(settings={"model.patch_px": px, "model.variant": variant})
        for px, variant in ((128, "lean"), (64, "vanilla"), (1024, "deep"))
    ]
    changed = record._replace(train={"model.variant": ("vanilla", "lean")}, trials=tuple(wide))
    assert levels(changed, "model.patch_px") == (64, 128, 1024)
    assert levels(changed, "model.variant") == ("vanilla", "lean", "deep")


def test_trials_are_compared_at_the_default_tiling(record: StudyRecord) -> None:
    tiling = reference_tiling(record)
    assert {name: value for name, value in tiling.items() if value is not None} == {
        "tiling.mode": "inner",
        "tiling.padding_px": 16,
        "tiling.samples": 1,
        "tiling.remainder": "covered",
        "tiling.precision": "float32",
    }


def test_a_tiling_that_more_trials_have_comes_before_the_default(record: StudyRecord) -> None:
    fewer = tuple(
        row for row in record.evaluations if row.settings["tiling.padding_px"] == 0 or row.trial == "trial-0-0"
    )
    assert reference_tiling(record._replace(evaluations=fewer))["tiling.padding_px"] == 0


def test_without_the_default_trials_are_compared_at_the_tiling_nearest_to_it(record: StudyRecord) -> None:
    def at(mode: str, padding_px: int) -> Evaluation:
        row = record.evaluations[0]
        return row._replace(settings={**row.settings, "tiling.mode": mode, "tiling.padding_px": padding_px})

    others = tuple(at(mode, padding_px) for mode in ("outer", "inner") for padding_px in (0, 4, 12, 24))
    tiling = reference_tiling(record._replace(evaluations=others))
    assert (tiling["tiling.mode"], tiling["tiling.padding_px"]) == ("inner", 12)


def test_the_headline_is_the_metric_of_the_paper_or_else_the_objective(record: StudyRecord) -> None:
    assert headline(record).key == "test/scale_invariant_psnr_db"
    other = tuple(row._replace(metrics={"test/ssim": 0.9}) for row in record.evaluations)
    assert headline(record._replace(evaluations=other, objective="test/ssim")).key == "test/ssim"
    with pytest.raises(MissingRuns, match="No evaluation has"):
        headline(record._replace(evaluations=other))


def test_a_study_without_evaluations_says_how_to_get_them(record: StudyRecord) -> None:
    with pytest.raises(MissingRuns, match="usplit run"):
        headline(record._replace(evaluations=()))


def test_settings_are_spoken_of_with_label_and_unit() -> None:
    assert axis_label("tiling.padding_px") == "padding (px)"
    assert format_value("model.patch_px", 64) == "64 px"
    assert format_value("train.early_stop_patience", None) == "none"
    assert describe({"model.lc_depth": 2, "model.variant": "lean"}) == "LC depth 2, variant lean"
    assert axis_label("model.of_another_version") == "model.of_another_version"


def test_one_posterior_sample_goes_unsaid() -> None:
    tiling: Settings = {"tiling.mode": "outer", "tiling.padding_px": 32, "tiling.samples": 1}
    assert describe_tiling(tiling) == "outer tiling, 32 px padding"
    assert "mean of 50 posterior samples" in describe_tiling({**tiling, "tiling.samples": 50})
