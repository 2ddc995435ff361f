"""A study is checked when it is made."""

import json
from typing import Any

import pytest

from study.planning.design import label, plan_trials
from study.spec import (
    ASHA,
    AtMost,
    Choice,
    Grid,
    IntRange,
    LogUniform,
    Only,
    Random,
    Resources,
    Search,
    Study,
    Uniform,
    evaluation_runs,
    override,
    train_runs,
)
from usplit_core.errors import ConfigError

SMALL = {"data.path": "cells.tif", "model.filters": 4, "model.latent_channels": 4}


def make_study(**changes: Any) -> Study:
    fields: dict[str, Any] = {
        "name": "depths",
        "question": "How deep?",
        "base": SMALL,
        "train": {"model.lc_depth": Grid(0, 2, 4), "data.augment": Grid(False, True)},
        "evaluate": {"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(8, 16, 24)},
        "replicates": 2,
    }
    return Study(**fields | changes)


def test_train_levels_and_seeds_make_trainings_and_evaluation_levels_do_not() -> None:
    trials = plan_trials(make_study(), lambda data: "content")
    assert len(trials) == 3 * 2 * 2
    assert len({trial.fingerprint for trial in trials}) == 12
    assert len({trial.cell for trial in trials}) == 6
    assert sum(len(trial.tilings) for trial in trials) == 72


def test_adding_a_tiling_changes_no_fingerprint() -> None:
    more = make_study(evaluate={"tiling.mode": Grid("inner"), "tiling.samples": Grid(1, 10)})
    before = [trial.fingerprint for trial in plan_trials(make_study(), lambda data: "content")]
    assert [trial.fingerprint for trial in plan_trials(more, lambda data: "content")] == before


def test_evaluations_keep_the_training_of_their_trial() -> None:
    study = make_study()
    run = list(train_runs(study))[-1]
    for evaluation in evaluation_runs(study, run):
        assert evaluation.model == run.model
        assert evaluation.train == run.train


def test_a_label_tells_trials_of_a_study_apart() -> None:
    study = make_study()
    assert len({label(study, run) for run in train_runs(study)}) == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"model.lc_dept": Grid(0)}}, "did you mean 'model.lc_depth'"),
        ({"train": {"tiling.mode": Grid("inner")}}, "under evaluate"),
        ({"evaluate": {"model.lc_depth": Grid(0)}}, "under train"),
        ({"train": {"train.seed": Grid(0, 1)}}, "replicates"),
        ({"train": {"model.filters": Grid(4)}}, "both set in base"),
        ({"replicates": 0}, "at least one seed"),
        ({"objective": "test/psnr"}, "did you mean 'test/psnr_db'"),
        ({"objective": "train/kl"}, "better"),
        ({"name": "My study"}, "lower-case"),
        ({"base": {**SMALL, "train.seed": 3}}, r"replicates = \(3,\)"),
        ({"base": {**SMALL, "model.depth": "4"}}, 'model.depth = "4": must be a valid integer'),
        ({"train": {"model.lc_depth": Grid(0, 9)}}, "lc_depth = 9: must be less than or equal to 8"),
        ({"train": {"model.variant": Grid("regular", "leen")}}, "did you mean 'lean'"),
        ({"train": {"model.dropout": Grid(0.1, float("nan"))}}, "model.dropout = nan"),
        ({"evaluate": {"tiling.padding_px": Grid(-1)}}, "greater than or equal to 0"),
        ({"evaluate": {"tiling.padding_px": IntRange(0, 8)}}, "so use Grid"),
        ({"replicates": (1, 1)}, "counts once"),
        ({"replicates": (-1,)}, "train.seed = -1: must be greater than or equal to 0"),
        ({"objective": ("validation/psnr_db", "cost/train_seconds")}, "FullFactorial compares by one metric"),
        ({"design": "random"}, "is no design; use such as"),
        ({"failures_allowed": -1}, "0 or more"),
    ],
)
def test_a_study_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_study(**changes)


def test_a_grid_needs_levels_that_differ() -> None:
    with pytest.raises(ConfigError, match="at least one level"):
        Grid()
    with pytest.raises(ConfigError, match="twice"):
        Grid(2, 2)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ({"model.depth": Uniform(2, 6)}, r"draws fractions, .* use IntRange\(2, 6\)"),
        ({"train.batch_size": LogUniform(4, 64)}, r"use IntRange\(4, 64\)"),
        ({"model.variant": Uniform(0, 1)}, "takes none; use Choice or Grid"),
        ({"data.augment": IntRange(0, 1)}, "takes none; use Choice or Grid"),
        ({"model.lc_depth": IntRange(0, 12)}, "model.lc_depth = 12: must be less than or equal to 8"),
        ({"train.learning_rate": LogUniform(1e-3, 10)}, "train.learning_rate = 10: must be less than or equal to 1"),
        ({"model.lc_dept": IntRange(0, 2)}, "did you mean 'model.lc_depth'"),
    ],
)
def test_a_range_that_its_setting_cannot_have_is_refused(factor: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_study(train=factor, design=Random(trials=2))


def test_a_range_of_whole_numbers_suits_a_setting_of_any_numbers() -> None:
    study = make_study(train={"objective.kl_weight": IntRange(1, 3)}, design=Random(trials=3))
    assert {run.objective.kl_weight for run in train_runs(study)} == {1.0, 2.0, 3.0}


def test_several_objectives_cannot_be_stopped_early() -> None:
    with pytest.raises(ConfigError, match="set stopping to None, or name one objective"):
        make_search(objective=("validation/psnr_db", "cost/train_seconds"), stopping=ASHA())


def test_an_illegal_combination_is_named() -> None:
    study = make_study(train={"model.variant": Grid("regular", "vanilla"), "model.lc_depth": Grid(2)})
    with pytest.raises(ConfigError, match=r"'vanilla', model\.lc_depth = 2 is no legal run"):
        list(train_runs(study))


def test_a_command_line_changes_settings_levels_and_seeds() -> None:
    changed = override(make_study(), {"model.lc_depth": "0,1", "train.epochs": "3", "replicates": "4"})
    assert changed.train["model.lc_depth"] == (0, 1)
    assert changed.base["train.epochs"] == 3
    assert changed.seeds == (0, 1, 2, 3)


def make_search(**changes: Any) -> Study:
    fields: dict[str, Any] = {
        "train": {
            "model.architecture": Choice("hvae", "hae"),
            "model.depth": IntRange(4, 8, step=2),
            "train.learning_rate": LogUniform(1e-4, 1e-2),
            "objective.free_bits": Uniform(0, 2),
        },
        "evaluate": {},
        "conditions": (
            AtMost("model.depth", "train.batch_size"),
            Only("objective.free_bits", where={"model.architecture": "hvae"}),
        ),
        "design": Search(trials=20),
        "objective": "validation/psnr_db",
    }
    return make_study(**fields | changes)


def test_a_command_line_changes_ranges_draws_and_choices() -> None:
    texts = {"model.depth": "6..8", "train.learning_rate": "1e-3..1e-2", "objective.free_bits": "0, 1", "trials": "5"}
    changed = override(make_search(), texts)
    assert changed.train["model.depth"] == IntRange(6, 8, step=2)
    assert changed.train["train.learning_rate"] == LogUniform(1e-3, 1e-2)
    assert changed.train["objective.free_bits"] == Choice(0.0, 1.0)
    assert isinstance(changed.train["model.architecture"], Choice)
    assert changed.design == Search(trials=5)


def test_what_depends_on_a_factor_that_a_command_line_ends_leaves_too_in_any_order() -> None:
    train = {
        "model.lc_depth": Grid(0, 2),
        "model.variant": Grid("lean", "regular"),
        "train.batch_size": Grid(4, 8),
    }
    rules = (
        Only("train.batch_size", where={"model.variant": "regular"}),
        Only("model.variant", where={"model.lc_depth": 2}),
    )
    for conditions in (rules, rules[::-1]):
        changed = override(make_study(train=train, conditions=conditions), {"model.lc_depth": "0"})
        assert list(changed.train) == ["model.lc_depth"]
        assert changed.conditions == ()


def test_a_command_line_fixes_a_factor_by_one_value() -> None:
    changed = override(make_search(), {"model.depth": "5", "model.architecture": "hae"})
    assert {run.model.depth for run in train_runs(changed)} == {5}
    # Free bits are those of the HVAE only, so they do not vary any more.
    assert "objective.free_bits" not in changed.train
    assert list(changed.conditions) == [AtMost("model.depth", "train.batch_size")]


def test_levels_that_are_lists_are_told_apart() -> None:
    study = make_study(train={"model.latent_channels": Grid((4, 4, 4, 4))}, base={"data.path": "a.tif"})
    changed = override(study, {"model.latent_channels": "[4,4,8,8], [8,8,8,8]"})
    assert changed.train["model.latent_channels"] == ((4, 4, 8, 8), (8, 8, 8, 8))


def test_a_study_is_described_as_json_with_levels_and_ranges() -> None:
    described = json.loads(json.dumps(make_search().describe()))
    assert described["train"] == {
        "model.architecture": ["hvae", "hae"], "model.depth": [], "train.learning_rate": [], "objective.free_bits": [],
    }  # fmt: skip
    assert described["ranges"]["model.depth"] == {"kind": "IntRange", "low": 4, "high": 8, "step": 2}
    assert described["design"] == {"kind": "Search", "trials": 20, "sampler": "tpe", "seed": 0}
    assert described["objectives"] == [described["objective"]]
    assert described["directions"] == [described["direction"]] == ["maximise"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.lc_dept": "1"}, "did you mean"),
        ({"model.lc_depth": "two"}, "'two'"),
        ({"replicates": "0"}, "at least 1"),
        ({"train.seed": "3"}, "replicates"),
    ],
)
def test_a_wrong_change_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(make_study(), settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.depth": "4..six"}, "write a range as low..high in whole numbers"),
        ({"model.depth": "8..4"}, "low must be below high"),
        ({"model.depth": "4..7"}, "set high to 6"),
        ({"trials": "many"}, "whole number of trials"),
        ({"train.learning_rate": "1e-3..2"}, "less than or equal to 1"),
    ],
)
def test_a_wrong_change_of_a_search_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(make_search(), settings)


@pytest.mark.parametrize("resources", [{"cpus": 0}, {"cpus": 1.5}, {"gpus": 1.5}, {"gpus": -0.5}])
def test_resources_that_no_trial_can_have_are_refused(resources: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Resources(**resources)
