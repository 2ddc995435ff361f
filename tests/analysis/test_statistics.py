"""Means, intervals and paired differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from analysis.records import Settings, StudyRecord
from analysis.statistics import compare, group, is_distinct, observations, paired_difference, summarise

PSNR = "test/scale_invariant_psnr_db"
INNER_16: Settings = {"tiling.mode": "inner", "tiling.padding_px": 16}


def test_a_summary_has_the_numbers_of_the_textbook() -> None:
    summary = summarise([1.0, 2.0, 3.0, 4.0])
    assert (summary.n, summary.mean) == (4, 2.5)
    assert summary.standard_deviation == pytest.approx(np.sqrt(5 / 3))
    assert summary.standard_error == pytest.approx(np.sqrt(5 / 12))


def test_one_value_has_no_spread_and_no_interval() -> None:
    assert summarise([31.0]) == (1, 31.0, None, None, None)


def test_no_value_has_no_summary() -> None:
    with pytest.raises(ValueError, match="at least one"):
        summarise([])


def test_the_interval_of_many_values_is_that_of_the_normal_theory() -> None:
    values = np.random.default_rng(0).normal(30, 1, size=400)
    low, high = summarise(values.tolist()).interval or (0, 0)
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=6))
def test_the_interval_holds_the_mean_and_lies_within_the_values(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.interval is not None
    low, high = summary.interval
    assert min(values) - 1e-9 <= low <= summary.mean + 1e-9
    assert summary.mean - 1e-9 <= high <= max(values) + 1e-9


@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_the_interval_is_that_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(30, 1, size=n)
    theirs = bootstrap((values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(1))
    spread = values.std(ddof=1) / np.sqrt(n)
    assert summarise(values.tolist()).interval == pytest.approx(tuple(theirs.confidence_interval), abs=0.06 * spread)


def test_the_same_values_give_the_same_interval() -> None:
    assert summarise([1.0, 5.0, 2.0]) == summarise([1.0, 5.0, 2.0])


def test_groups_have_one_value_a_seed_in_the_order_of_the_levels(record: StudyRecord) -> None:
    groups = group(record, PSNR, ("model.lc_depth", "tiling.padding_px"), where={"tiling.mode": "inner"})
    assert [tuple(item.levels.values()) for item in groups] == [(0, 0), (0, 16), (2, 0), (2, 16)]
    assert all(item.seeds == (0, 1) for item in groups)
    assert [item.summary.mean for item in groups] == pytest.approx([30.1, 30.5, 32.15, 32.25])


def test_a_factor_that_is_left_out_is_averaged_within_the_seed(record: StudyRecord) -> None:
    found = group(record, PSNR, ("model.lc_depth",), where={"tiling.mode": "inner"})[0]
    assert found.summary.n == 2
    assert found.values == pytest.approx((30.2, 30.4))


def test_trials_that_did_not_finish_and_values_that_are_not_finite_do_not_count(record: StudyRecord) -> None:
    assert {row.seed for row in observations(record, "validation/psnr_db")} == {0, 1}
    first, *rest = record.evaluations
    broken = record._replace(evaluations=(first._replace(metrics={PSNR: float("nan")}), *rest))
    assert len(observations(broken, PSNR)) == len(rest)


def test_the_score_of_a_training_does_not_depend_on_tiling(record: StudyRecord) -> None:
    assert [item.levels for item in group(record, "validation/psnr_db", ("tiling.mode",))] == [{"tiling.mode": None}]


def test_differences_are_paired_by_seed(record: StudyRecord) -> None:
    found = compare(record, PSNR, {"model.lc_depth": 2, **INNER_16}, {"model.lc_depth": 0, **INNER_16})
    assert found is not None
    assert (found.unit, found.summary.n, found.unpaired) == ("seed", 2, 0)
    assert found.summary.mean == pytest.approx(1.75)
    # The spread between seeds is 0.2 dB and cancels; what is left is how the gain differs between them.
    assert found.summary.standard_deviation == pytest.approx(0.1 / np.sqrt(2))
    assert is_distinct(found)


def test_differences_can_be_paired_by_frame_as_well(record: StudyRecord) -> None:
    found = compare(record, PSNR, {"model.lc_depth": 2, **INNER_16}, {"model.lc_depth": 0, **INNER_16}, unit="frame")
    assert found is not None
    assert (found.unit, found.summary.n) == ("frame", 3)
    assert found.summary.mean == pytest.approx(1.75)


def test_values_without_a_partner_are_counted_and_left_out() -> None:
    found = paired_difference({0: 3.0, 1: 4.0, 2: 9.0}, {0: 1.0, 1: 1.0, 5: 0.0})
    assert found is not None
    assert (found.summary.n, found.summary.mean, found.unpaired) == (2, 2.5, 2)
    assert paired_difference({0: 3.0}, {1: 1.0}) is None


def test_one_pair_tells_nothing_about_distinctness() -> None:
    found = paired_difference({0: 3.0}, {0: 1.0})
    assert found is not None
    assert is_distinct(found) is None
