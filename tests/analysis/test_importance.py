"""Importance of factors: planted effects are found, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import f as f_distribution

from analysis.importance import EVALUATORS, Evaluator, Term, anova, search_importance
from analysis.records import MissingRuns, NotVaried, StudyRecord
from tests.analysis.planted import PSNR, noise, planted_study

VARIED = ("model.lc_depth", "model.patch_px", "tiling.padding_px")


@pytest.fixture(scope="module")
def planted() -> StudyRecord:
    """Return a study in which LC depth matters, and padding only for small patches; the learning rate does nothing."""

    def score(settings: Mapping[str, Any], seed: int) -> float:
        lc_depth, patch, padding = (settings[name] for name in VARIED)
        own = noise({name: settings[name] for name in VARIED}, seed)
        return float(2.0 * (lc_depth == 2) + 1.5 * (patch == 64 and padding == 16) + 0.5 * seed + own)

    return planted_study(
        score,
        train={"model.lc_depth": (0, 2), "model.patch_px": (64, 128), "train.learning_rate": (1e-3, 1e-4)},
        evaluate={"tiling.padding_px": (0, 16)},
        seeds=3,
    )


def test_planted_effects_and_the_interaction_are_found(planted: StudyRecord) -> None:
    found = anova(planted, PSNR)
    shares = {term.label: term.share for term in found.terms}
    p_values = {term.label: term.p or 0.0 for term in found.terms}
    assert next(iter(shares)) == "LC depth"
    assert p_values["LC depth"] < 1e-6
    assert p_values["patch size × padding"] < 1e-6
    assert shares["patch size × padding"] == pytest.approx(shares["padding"], rel=0.2)
    assert (found.trials, found.values) == (24, 48)


def test_nothing_is_found_where_nothing_was_planted(planted: StudyRecord) -> None:
    for term in anova(planted, PSNR).terms:
        if "learning rate" in term.label:
            assert term.share < 0.01
            assert term.p is not None
            assert term.p > 0.001


def test_shares_and_residual_sum_to_one(planted: StudyRecord) -> None:
    found = anova(planted, PSNR)
    assert found.residual is not None
    assert sum(term.share for term in found.terms) + found.residual == pytest.approx(1)
    assert found.residual > 0.01  # the seeds differ


def test_the_shares_are_those_of_the_textbook() -> None:
    def score(settings: Mapping[str, Any], seed: int) -> float:
        return {(0, 64): 1.0, (0, 128): 2.0, (2, 64): 4.0, (2, 128): 9.0}[
            settings["model.lc_depth"], settings["model.patch_px"]
        ] + (0.1, -0.1, 0.0)[seed]

    record = planted_study(score, train={"model.lc_depth": (0, 2), "model.patch_px": (64, 128)})
    # Cell means 1, 2, 4, 9 with 3 seeds: SS = 75 (LC), 27 (patch), 12 (interaction), 0.08 (seeds).
    shares = {term.label: term.share for term in anova(record, PSNR).terms}
    assert shares == pytest.approx({
        "LC depth": 75 / 114.08, "patch size": 27 / 114.08, "LC depth × patch size": 12 / 114.08
    })  # fmt: skip


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 3, 2), (3, 3, 3)])
def test_tilings_are_tested_as_the_split_plot_of_the_textbook_does(shape: tuple[int, int, int]) -> None:
    y = np.random.default_rng(sum(shape)).normal(size=shape)  # (depths, seeds, paddings)
    depths, seeds, paddings = shape
    y += 0.3 * np.arange(paddings) + np.arange(seeds)[:, None]
    record = planted_study(
        lambda settings, seed: y[settings["model.lc_depth"], seed, settings["tiling.padding_px"] // 8],
        train={"model.lc_depth": range(depths)},
        evaluate={"tiling.padding_px": [8 * place for place in range(paddings)]},
        seeds=seeds,
    )
    means = y.mean((0, 1)), y.mean(1), y.mean((1, 2), keepdims=True)[:, 0]
    padding = depths * seeds * ((means[0] - y.mean()) ** 2).sum()
    both = seeds * ((means[1] - means[2] - means[0] + y.mean()) ** 2).sum()
    error = ((y - y.mean(2, keepdims=True)) ** 2).sum() - padding - both
    free = depths * (seeds - 1) * (paddings - 1)
    p_values = _p_values(anova(record, PSNR).terms)
    for name, square, own in (("padding", padding, 1), ("LC depth × padding", both, depths - 1)):
        own *= paddings - 1
        assert p_values[name] == pytest.approx(f_distribution.sf(square / own / (error / free), own, free))


def test_two_names_of_one_train_factor_take_no_more_degrees_of_freedom_than_one() -> None:
    depths = {"model.lc_depth": (0, 2, 4)}

    def study(train: Mapping[str, Any]) -> StudyRecord:
        return planted_study(
            lambda settings, seed: noise({name: settings[name] for name in VARIED}, seed),
            train=train, evaluate={"tiling.padding_px": (0, 16, 24)},
        )  # fmt: skip

    crossed = study({**depths, "model.filters": (8, 10, 12)})
    pairs = ((0, 8), (2, 10), (4, 12))
    alike = tuple(t for t in crossed.trials if (t.settings["model.lc_depth"], t.settings["model.filters"]) in pairs)
    one, two = (anova(record, PSNR).terms for record in (study(depths), crossed._replace(trials=alike)))
    assert _p_values(two)["padding"] == pytest.approx(_p_values(one)["padding"])


def _p_values(terms: Sequence[Term]) -> dict[str, float | None]:
    return {term.label: term.p for term in terms}


def test_without_replicates_interactions_are_left_to_the_residual() -> None:
    record = planted_study(
        lambda settings, _: settings["model.lc_depth"] + noise({"model.lc_depth": settings["model.lc_depth"]}, 0),
        train={"model.lc_depth": (0, 1, 2), "model.patch_px": (64, 128)},
        seeds=1,
    )
    assert [term.label for term in anova(record, PSNR).terms] == ["LC depth", "patch size"]


def test_incomplete_crossing_gives_main_effects_only(planted: StudyRecord) -> None:
    trials = tuple(
        trial
        for trial in planted.trials
        if (trial.settings["model.lc_depth"], trial.settings["model.patch_px"]) != (2, 128)
    )
    labels = {term.label for term in anova(planted._replace(trials=trials), PSNR).terms}
    assert "LC depth × patch size" not in labels
    assert "LC depth" in labels


def _without(record: StudyRecord, failed: int) -> StudyRecord:
    """Return the study with all trials of one LC depth failed."""
    trials = [t._replace(state="failed") if t.settings["model.lc_depth"] == failed else t for t in record.trials]
    return record._replace(trials=tuple(trials))


@pytest.mark.parametrize("failed", [0, 2])
def test_a_factor_of_which_one_level_is_left_explains_nothing(planted: StudyRecord, failed: int) -> None:
    labels = {term.label for term in anova(_without(planted, failed), PSNR).terms}
    assert not any("LC depth" in text for text in labels)
    assert {"patch size", "learning rate", "padding", "patch size × padding"} <= labels


def test_where_one_level_of_every_factor_is_left_runs_are_missing() -> None:
    depths = planted_study(lambda settings, seed: settings["model.lc_depth"] + seed, train={"model.lc_depth": (0, 2)})
    with pytest.raises(MissingRuns, match="usplit run") as raised:
        anova(_without(depths, 2), PSNR)
    assert not isinstance(raised.value, NotVaried)  # the study set out to vary it, so the report tells


def test_a_study_without_factors_or_runs_says_so(planted: StudyRecord) -> None:
    with pytest.raises(NotVaried):
        anova(planted_study(lambda *_: 1.0, train={}), PSNR)
    with pytest.raises(MissingRuns, match="usplit run"):
        anova(planted, "test/no_such_score")


@pytest.fixture(scope="module")
def search() -> StudyRecord:
    """Return 30 trials with drawn values, of which the learning rate decides."""
    rates = tuple((10 ** np.random.default_rng(0).uniform(-5, -2, 30)).tolist())
    record = planted_study(
        lambda settings, seed: -abs(np.log10(settings["train.learning_rate"]) + 3) + noise(
            {"train.learning_rate": settings["train.learning_rate"]}, seed
        ),
        train={"train.learning_rate": rates}, seeds=1,
    )  # fmt: skip
    filters = np.random.default_rng(1).integers(8, 64, 30).tolist()
    trials = tuple(
        trial._replace(settings={**trial.settings, "model.filters": int(count)})
        for trial, count in zip(record.trials, filters, strict=True)
    )
    return record._replace(train={"train.learning_rate": (), "model.filters": ()}, trials=trials)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_optunas_evaluators_are_named_and_find_the_planted_factor(search: StudyRecord, evaluator: Evaluator) -> None:
    found = search_importance(search, PSNR, evaluator)
    assert evaluator in found.method
    assert found.terms[0].label == "learning rate"
    assert found.trials == 30


def test_few_trials_are_too_few_for_a_search(search: StudyRecord) -> None:
    with pytest.raises(MissingRuns, match="too few"):
        search_importance(search._replace(trials=search.trials[:5]), PSNR, "PED-ANOVA")
