"""Which values go together."""

import itertools
import json
from collections import Counter
from typing import Any

import pytest

from study.planning.design import plan_trials
from study.spec import (
    AtMost,
    Choice,
    Constraint,
    Grid,
    IntRange,
    Only,
    Random,
    Uniform,
    evaluation_runs,
    left_out,
    train_points,
    train_runs,
)
from study.words.draws import random_draws
from study.words.rules import LeftOut, value_of
from study.words.walk import walk
from tests.study.studies import conditional_study, make_study
from usplit_core.config import RunConfig
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting, resolve
from usplit_core.variants import check_levels, patch_multiple


def test_a_conditional_space_never_gives_an_invalid_point() -> None:
    """Ten thousand draws, each held against the rules of the networks."""
    space = conditional_study().space
    reasons: Counter[str] = Counter()
    for draw in itertools.islice(random_draws(space, seed=1), 10_000):
        try:
            point: dict[str, Any] = walk(space, draw)
        except LeftOut as error:
            reasons[str(error)] += 1
            continue
        words = point["model.architecture"], point["model.variant"]
        levels = {"lc_depth": point["model.lc_depth"], "depth": point["model.depth"]}
        assert levels["lc_depth"] <= levels["depth"] - 1
        check_levels(*words, **levels)
        assert point["model.patch_px"] % patch_multiple(*words, **levels) == 0
        assert ("objective.free_bits" in point) == (words[0] == "hvae")
        assert ("model.log_variance" in point) == (words[0] != "unet")
    assert set(reasons) == {"a patch is halved at every level"}
    assert reasons.total() < 2_000


def test_the_points_of_a_conditional_space_are_legal_runs() -> None:
    runs = list(train_runs(conditional_study()))
    assert len(runs) == 50
    assert len({run.model_dump_json() for run in runs}) == 50


def test_a_bound_narrows_the_range_that_depends_on_it() -> None:
    study = make_study(
        train={"model.lc_depth": IntRange(0, 6), "model.depth": IntRange(2, 6)},
        conditions=(AtMost("model.lc_depth", "model.depth", minus=2),),
        design=Random(trials=15),
    )
    found = {(point["model.depth"], point["model.lc_depth"]) for point in train_points(study)}
    assert found == {(depth, lc_depth) for depth in range(2, 7) for lc_depth in range(depth - 1)}


def test_a_bound_that_is_no_factor_comes_from_the_network() -> None:
    """The deep HVAE has 8 levels, the regular one 4."""
    study = make_study(
        train={"model.lc_depth": Grid(0, 2, 4, 6), "model.variant": Grid("regular", "deep")},
        conditions=(AtMost("model.lc_depth", "model.depth", minus=1),),
    )
    points = [(point["model.variant"], point["model.lc_depth"]) for point in train_points(study)]
    assert points == [("regular", 0), ("deep", 0), ("regular", 2), ("deep", 2), ("deep", 4), ("deep", 6)]
    assert left_out(study) == [("model.lc_depth is at most model.depth - 1", 2)]


def test_a_factor_that_does_not_vary_keeps_its_base_value_and_makes_one_training() -> None:
    study = make_study(
        base={"data.path": "a.tif", "objective.free_bits": 0.5},
        train={"model.architecture": Grid("hvae", "hae"), "objective.free_bits": Grid(0.0, 1.0, 2.0)},
        conditions=(Only("objective.free_bits", where={"model.architecture": "hvae"}),),
    )
    runs = list(train_runs(study))
    found = [(run.model.architecture, run.objective.free_bits) for run in runs]
    assert found == [("hvae", 0.0), ("hvae", 1.0), ("hvae", 2.0), ("hae", 0.5)]
    assert len(plan_trials(study, lambda data: "content")) == 4


def test_a_constraint_leaves_trainings_out_and_says_why() -> None:
    rule = Constraint(
        names=("model.depth", "model.lc_depth"), allows=lambda depth, lc: lc != depth, reason="a level without context"
    )
    study = make_study(train={"model.depth": Grid(2, 3), "model.lc_depth": Grid(1, 2)}, constraints=(rule,))
    assert len(list(train_points(study))) == 3
    assert left_out(study) == [("a level without context", 1)]


def test_a_constraint_with_a_tiling_leaves_evaluations_out() -> None:
    rule = Constraint(
        names=("model.patch_px", "tiling.mode", "tiling.padding_px"),
        allows=lambda patch, mode, padding: mode == "outer" or 2 * padding < patch,
        reason="nothing of the patch would be kept",
    )
    study = make_study(
        train={"model.patch_px": Grid(32, 64)},
        evaluate={"tiling.padding_px": Grid(16, 24), "tiling.mode": Grid("inner", "outer")},
        constraints=(rule,),
    )
    runs = list(train_runs(study))
    assert [len(list(evaluation_runs(study, run))) for run in runs] == [2, 4]
    assert left_out(study) == [("nothing of the patch would be kept", 2)]
    assert [(run.tiling.mode, run.tiling.padding_px) for run in runs] == [("outer", 16), ("inner", 16)]


def test_a_default_is_found_where_a_run_has_it() -> None:
    for settings in ({}, {"model.variant": "deep"}, {"model.architecture": "unet"}, {"data.channels": (0, 1, 2)}):
        given: dict[str, Setting] = {"data.path": "a.tif", **settings}
        run: RunConfig = resolve(given)
        for name in ("model.depth", "model.filters", "model.structure_channels", "train.epochs"):
            section, _, field = name.partition(".")
            assert value_of(name, given) == getattr(getattr(run, section), field)


VARIES: dict[str, Any] = {"model.depth": Grid(2, 4), "model.lc_depth": Grid(0, 2), "model.variant": Grid("lean")}


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([AtMost("model.lc_depth", "model.depht")], "did you mean 'model.depth'"),
        ([AtMost("model.lc_depth", "model.lc_depth")], "depends on itself"),
        ([AtMost("model.dropout", "model.depth")], "model.dropout, which does not vary in training: name it under"),
        ([AtMost("tiling.padding_px", "model.patch_px")], "use a Constraint"),
        ([AtMost("model.depth", "tiling.padding_px")], "no setting of a training"),
        ([AtMost("model.variant", "model.depth")], "has the level 'lean'"),
        ([AtMost("model.lc_depth", "train.steps_per_epoch")], "None is no number"),
        ([AtMost("model.lc_depth", "model.depth"), AtMost("model.depth", "model.lc_depth")], "wait for one another"),
        ([Only("model.depth", where={})], "says nowhere"),
        ([Only("model.depth", where={"model.depth": 2})], "depends on itself"),
        ([Only("model.depth", where={"model.dropout": 0.1})], "model.dropout, which does not vary"),
        ([Only("model.depth", where={"model.lc_depth": (0, 3)})], r"lc_depth = 3, which is not in Grid\(0, 2\)"),
        (
            [Only("model.depth", where={"model.lc_depth": 2}), Only("model.lc_depth", where={"model.depth": 2})],
            "wait for one another",
        ),
        (["model.depth"], "no condition"),
    ],
)
def test_a_contradictory_condition_is_refused(conditions: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_study(train=VARIES, conditions=tuple(conditions)).space  # noqa: B018  # the last of them show there


def test_a_condition_on_a_continuous_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="continuous range: use Choice"):
        make_study(
            train={"model.dropout": Uniform(0, 0.5), "model.depth": Choice(2, 3)},
            conditions=(Only("model.depth", where={"model.dropout": 0.1}),),
            design=Random(trials=2),
        )


@pytest.mark.parametrize(
    ("names", "allows", "message"),
    [
        (("model.depht",), lambda depth: True, "did you mean 'model.depth'"),
        (("model.depth",), lambda: True, "names 1 settings, and its function does not take so many"),
        (("model.depth",), lambda depth: False, "leave nothing to train: 8 x none; loosen"),
        (("model.depth",), lambda depth: depth["x"], "constraint 'none' fails with TypeError.*given model.depth = 2"),
    ],
)
def test_a_constraint_that_cannot_be_is_refused(names: tuple[str, ...], allows: Any, message: str) -> None:
    train = {**VARIES, "model.variant": Grid("lean", "regular")}
    with pytest.raises(ConfigError, match=message):
        make_study(train=train, constraints=(Constraint(names=names, allows=allows, reason="none"),))


@pytest.mark.parametrize(("names", "reason"), [("model.depth", "why"), ((), "why"), (("model.depth",), " ")])
def test_a_constraint_needs_names_and_a_reason(names: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=r"tuple of setting names|no reason"):
        Constraint(names=names, allows=lambda depth: True, reason=reason)


def test_rules_are_described_as_json() -> None:
    described = json.loads(json.dumps(conditional_study().describe()))
    assert described["conditions"][0] == {
        "kind": "AtMost", "factor": "model.lc_depth", "bound": "model.depth", "minus": 1,
    }  # fmt: skip
    assert described["constraints"][0]["reason"] == "a patch is halved at every level"
