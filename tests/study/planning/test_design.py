"""From the points of a study to its trials."""

import time
from dataclasses import replace

from study.planning.configurations import sample_of_search
from study.planning.design import in_generation, label, plan_trials, trials_of_point
from study.spec import (
    ASHA,
    Choice,
    Constraint,
    Grid,
    LogUniform,
    Only,
    Population,
    Search,
    override,
    train_points,
    train_runs,
)
from tests.study.studies import SMALL, make_study


def test_three_factors_make_twelve_trainings_and_seventy_two_evaluations() -> None:
    study = make_study(
        train={"model.lc_depth": Grid(0, 2, 4), "data.augment": Grid(False, True)},
        evaluate={"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(8, 16, 24)},
        replicates=2,
    )
    trials = plan_trials(study, lambda data: "content")
    assert len({trial.fingerprint for trial in trials}) == 12
    assert len({trial.cell for trial in trials}) == 6
    assert sum(len(trial.tilings) for trial in trials) == 72


def test_a_point_has_a_trial_for_each_seed_and_one_cell() -> None:
    study = make_study(train={"model.lc_depth": Grid(0, 2)}, replicates=(3, 5))
    trials = trials_of_point(study, {"model.lc_depth": 2}, lambda data: "content")
    assert [trial.run.train.seed for trial in trials] == [3, 5]
    assert len({trial.cell for trial in trials}) == 1
    assert len({trial.fingerprint for trial in trials}) == 2
    assert trials == plan_trials(study, lambda data: "content")[2:]


def test_the_order_of_the_data_is_that_of_the_seed_under_every_level() -> None:
    runs = list(train_runs(make_study(train={"model.lc_depth": Grid(0, 2)}, replicates=2)))
    assert [run.train.data_order_seed for run in runs] == [0, 1, 0, 1]


def test_trainings_that_a_rule_may_stop_leave_each_epoch_behind_and_stay_the_same_trials() -> None:
    study = make_study(base={**SMALL, "train.checkpoint_every_epochs": 10}, train={"model.lc_depth": Grid(0)})
    (rare,) = plan_trials(study, lambda data: "content")
    (each,) = plan_trials(replace(study, stopping=ASHA()), lambda data: "content")
    assert (rare.run.train.checkpoint_every_epochs, each.run.train.checkpoint_every_epochs) == (10, 1)
    assert each.fingerprint == rare.fingerprint


def test_a_search_plans_nothing_before_it_draws() -> None:
    study = make_study(
        train={"train.learning_rate": LogUniform(1e-4, 1e-2), "model.depth": Choice(4, 5)},
        design=Search(trials=10),
        objective="validation/psnr_db",
    )
    assert plan_trials(study, lambda data: "content") == []
    assert list(train_points(study)) == []
    runs = list(train_runs(study))
    assert len(runs) == 32
    assert len({label(study, run) for run in runs}) == 32


def test_points_that_differ_in_nothing_that_counts_are_one_trial() -> None:
    """The KL weight is no setting of an HAE."""
    train = {"model.architecture": Grid("hvae", "hae"), "objective.kl_weight": Grid(0.5, 1.0, 2.0)}
    assert len(plan_trials(make_study(train=train), lambda data: "content")) == 4


def test_a_thousand_combinations_are_planned_in_seconds() -> None:
    study = make_study(
        train={
            "model.lc_depth": Grid(0, 1, 2, 3, 4),
            "train.learning_rate": Grid(*(1e-3 / (1 + index) for index in range(10))),
            "model.dropout": Grid(0.0, 0.1, 0.2, 0.3),
            "train.batch_size": Grid(8, 16, 32, 64, 128),
            "objective.free_bits": Grid(0.0, 1.0),
        },
        evaluate={"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(8, 16, 24)},
        conditions=(Only("objective.free_bits", where={"model.lc_depth": 4}),),
        constraints=(
            Constraint(names=("train.batch_size",), allows=lambda size: size < 128, reason="beyond memory"),
            Constraint(names=("tiling.mode", "model.depth"), allows=lambda mode, depth: True, reason="never"),
        ),
    )
    started = time.process_time()
    trials = plan_trials(study, lambda data: "content")
    assert time.process_time() - started < 5
    assert len(trials) == (4 + 2) * 10 * 4 * 4


def test_of_a_population_only_the_last_generation_is_evaluated() -> None:
    design = Population(members=2, generations=3)
    asked = make_study(
        train={"train.learning_rate": LogUniform(1e-4, 1e-2)},
        evaluate={"tiling.padding_px": Grid(0, 16)},
        design=design,
        objective="validation/psnr_db",
    )
    point = {"train.learning_rate": 1e-3}
    trials = trials_of_point(asked, point, lambda data: "content")
    counts = [len(in_generation(trials, number, design)[0].tilings) for number in range(6)]
    assert counts == [0, 0, 0, 0, 2, 2]
    assert in_generation(trials, 2, design)[0].label.endswith("generation2")
    planned = sample_of_search(asked, lambda data: "content")
    assert sum(len(trial.tilings) for trial in planned) == 2 * len(planned) / 3


def test_a_command_line_changes_the_size_of_a_population() -> None:
    asked = make_study(
        train={"train.learning_rate": LogUniform(1e-4, 1e-2)}, design=Population(2, 3), objective="validation/psnr_db"
    )
    assert override(asked, {"members": "4", "generations": "5"}).design == Population(4, 5)
