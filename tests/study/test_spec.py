"""A study is checked when it is made."""

from typing import Any

import pytest

from study.design import label, plan_trials
from study.spec import Grid, Resources, Study, evaluation_runs, override, train_runs
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


def test_an_illegal_combination_is_named() -> None:
    study = make_study(train={"model.variant": Grid("regular", "vanilla"), "model.lc_depth": Grid(2)})
    with pytest.raises(ConfigError, match=r"'vanilla', model\.lc_depth = 2 is no legal run"):
        list(train_runs(study))


def test_a_command_line_changes_settings_levels_and_seeds() -> None:
    changed = override(make_study(), {"model.lc_depth": "0,1", "train.epochs": "3", "replicates": "4"})
    assert changed.train["model.lc_depth"] == (0, 1)
    assert changed.base["train.epochs"] == 3
    assert changed.seeds == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.lc_dept": "1"}, "did you mean"),
        ({"model.lc_depth": "two"}, "'two'"),
        ({"replicates": "0"}, "at least 1"),
    ],
)
def test_a_wrong_change_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(make_study(), settings)


@pytest.mark.parametrize("resources", [{"cpus": 0}, {"gpus": 1.5}, {"gpus": -0.5}])
def test_resources_that_no_trial_can_have_are_refused(resources: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Resources(**resources)
