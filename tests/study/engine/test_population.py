"""A population draws generation after generation, from nothing but the seed and the values."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from study.engine.population import ORIGIN, PopulationSource, change, choose_parents
from study.engine.sources import PastPoint, Point
from study.spec import AtMost, Choice, Grid, IntRange, LogUniform, Only, Population, Study, Uniform, runs_of_point
from study.words.factors import Factor
from tests.study.studies import make_study
from usplit_core.settings import Setting

TRAIN: dict[str, Any] = {
    "train.learning_rate": LogUniform(1e-4, 1e-1),
    "objective.kl_weight": Uniform(0.1, 10.0),
    "model.lc_depth": Choice(0, 1),
}


def study_of(*, members: int = 6, generations: int = 4, **fields: Any) -> Study:
    design = Population(members, generations, **fields)
    return make_study(train=TRAIN, evaluate={}, design=design, objective="validation/psnr_db", replicates=1)


def fingerprint(settings: Mapping[str, Setting]) -> str:
    return hashlib.md5(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()


def psnr_db(settings: Mapping[str, Setting]) -> float:
    """Return a value that is best at a learning rate of 0.003."""
    return -abs(math.log(float(str(settings["train.learning_rate"])) / 0.003))


def grow(study: Study, past: list[PastPoint], *, points: int = 1000) -> list[PastPoint]:
    """Go on with a population by up to `points`, one after another; return all of its points."""
    source, found = PopulationSource(study, past, [], fingerprint), list(past)
    for _ in range(points):
        point = source.next_point()
        if point is None:
            break
        source.tell(point.number, (psnr_db(point.settings),), "finished")
        found.append(PastPoint(point.number, point.settings, "finished", (psnr_db(point.settings),)))
    return found


def test_every_member_of_every_generation_is_a_training_of_its_own() -> None:
    found = grow(study_of(), [])
    assert [point.number for point in found] == list(range(24))
    assert len({fingerprint(point.settings) for point in found}) == 24


def test_a_population_is_the_same_wherever_it_is_interrupted() -> None:
    study = study_of()
    whole = grow(study, [])
    for points in (1, 6, 9):
        assert grow(study, grow(study, [], points=points)) == whole


def test_another_seed_gives_another_population() -> None:
    assert grow(study_of(seed=1), []) != grow(study_of(), [])


def test_every_later_member_goes_on_from_one_of_the_generation_before() -> None:
    found = grow(study_of(), [])
    assert all(ORIGIN not in point.settings for point in found[:6])
    for first in (6, 12, 18):
        before = {fingerprint(point.settings) for point in found[first - 6 : first]}
        assert {point.settings[ORIGIN] for point in found[first : first + 6]} <= before


def test_the_worst_member_is_replaced_by_a_changed_copy_of_the_best_and_the_others_stay() -> None:
    found = grow(study_of(replaced=0.2, generations=2), [])
    old, new = found[:6], found[6:]
    ranked = sorted(range(6), key=lambda member: psnr_db(old[member].settings))
    worst, best = ranked[0], ranked[-1]
    for member in set(range(6)) - {worst}:
        assert new[member].settings == {**old[member].settings, ORIGIN: fingerprint(old[member].settings)}
    copy = new[worst].settings
    assert copy[ORIGIN] == fingerprint(old[best].settings)
    assert copy["model.lc_depth"] == old[best].settings["model.lc_depth"]
    assert {**old[best].settings, ORIGIN: copy[ORIGIN]} != copy


def test_only_what_the_design_names_is_changed() -> None:
    found = grow(study_of(change=("objective.kl_weight",), generations=8), [])
    rates = {point.settings["train.learning_rate"] for point in found[:6]}
    assert {point.settings["train.learning_rate"] for point in found} <= rates
    assert len({point.settings["objective.kl_weight"] for point in found}) > 6


def test_nothing_is_drawn_while_a_generation_is_not_complete() -> None:
    study = study_of()
    source = PopulationSource(study, grow(study, [], points=5), [], fingerprint)
    last = source.next_point()
    assert last is not None
    assert source.next_point() is None
    assert source.left == 18
    source.tell(last.number, (1.0,), "finished")
    assert source.next_point() is not None


def test_a_relaunch_knows_the_members_that_are_still_open() -> None:
    study = study_of()
    whole = grow(study, [], points=6)
    still_open = [Point(point.number, point.settings) for point in whole[4:]]
    source = PopulationSource(study, whole[:4], still_open, fingerprint)
    assert source.next_point() is None
    for point in whole[4:]:
        source.tell(point.number, point.values, "finished")
    following = source.next_point()
    assert following is not None
    assert following.settings == grow(study, [], points=7)[6].settings


def test_a_failed_member_is_replaced_whatever_part_the_design_replaces() -> None:
    study = study_of(replaced=0.2)
    past = grow(study, [], points=6)
    failed = [past[0]._replace(state="failed", values=None), past[1]._replace(values=(math.nan,)), *past[2:]]
    following = grow(study, failed, points=6)[6:]
    lost = {fingerprint(point.settings) for point in past[:2]}
    assert not {point.settings[ORIGIN] for point in following} & lost


def test_a_population_of_which_nothing_is_left_ends() -> None:
    study = study_of()
    failed = [point._replace(state="failed", values=None) for point in grow(study, [], points=6)]
    source = PopulationSource(study, failed, [], fingerprint)
    assert (source.left, source.next_point()) == (0, None)


def test_more_generations_go_on_from_the_last() -> None:
    longer = grow(study_of(generations=5), grow(study_of(), []))
    assert longer == grow(study_of(generations=5), [])


def test_a_metric_that_is_better_when_lower_is_minimised() -> None:
    study = make_study(
        train=TRAIN, evaluate={}, design=Population(4, 2, replaced=0.25), objective="cost/train_seconds", replicates=1
    )
    past = [
        PastPoint(point.number, point.settings, "finished", (float(point.number),))
        for point in grow(study, [], points=4)
    ]
    following = grow(study, past)[4:]
    assert following[3].settings[ORIGIN] == fingerprint(past[0].settings)


def test_generations_improve_what_the_first_draws_were_worth() -> None:
    gains = []
    for seed in range(10):
        found = grow(study_of(members=8, generations=6, seed=seed), [])
        best = [max(psnr_db(point.settings) for point in found[first : first + 8]) for first in (0, 40)]
        gains.append(best[1] - best[0])
    assert min(gains) >= 0
    assert np.mean(gains) > 0.1


@pytest.mark.parametrize("seed", range(20))
def test_changes_keep_the_rules_of_the_space(seed: int) -> None:
    study = make_study(
        train={
            "objective.kl_weight": Choice(0.5, 1.0, 2.0),
            "train.learning_rate": LogUniform(1e-4, 1e-2),
            "model.depth": IntRange(2, 3),
            "model.lc_depth": IntRange(0, 2),
            "objective.free_bits": Choice(0.0, 1.0),
        },
        conditions=(
            AtMost("model.lc_depth", "model.depth", minus=1),
            Only("objective.free_bits", {"objective.kl_weight": (1.0, 2.0)}),
        ),
        evaluate={},
        design=Population(4, 5, seed=seed),
        objective="validation/psnr_db",
        replicates=1,
    )
    for point in grow(study, []):
        assert ("objective.free_bits" in point.settings) == (point.settings["objective.kl_weight"] != 0.5)
        runs_of_point(study, point.settings)


@pytest.mark.parametrize(
    ("scores", "replaced", "kept"),
    [
        ([1.0, 2.0, 3.0, 4.0], 0.25, {1, 2, 3}),
        ([1.0, 2.0, 3.0, 4.0], 0.5, {2, 3}),
        ([None, 2.0, 3.0, 1.0], 0.25, {1, 2, 3}),
        ([None, None, 3.0, 1.0], 0.25, {2, 3}),
        ([None, None, None, 1.0], 0.5, {3}),
        ([5.0, 5.0], 0.25, {0}),
    ],
)
def test_who_is_kept_and_who_is_copied(scores: list[float | None], replaced: float, kept: set[int]) -> None:
    parents = choose_parents(scores, replaced, np.random.default_rng(0))
    assert {member for member, parent in enumerate(parents) if member == parent} == kept
    assert set(parents) <= kept


@pytest.mark.parametrize(
    ("factor", "value", "near"),
    [
        (Uniform(0.0, 10.0), 5.0, {4.0, 6.0}),
        (LogUniform(1.0, 1000.0), 10.0, {8.0, 12.0}),
        (IntRange(1, 9), 2, {1, 3}),
        (IntRange(10, 100, 10), 100, {80, 100}),
        (Choice(16, 32, 64), 32, {16, 64}),
        (Choice(16, 32, 64), 64, {32}),
        (Grid(16), 16, {16}),
    ],
)
def test_a_change_is_a_small_step_or_any_value_of_the_factor(
    factor: Factor, value: Setting, near: set[Setting]
) -> None:
    generator = np.random.default_rng(0)
    found = Counter(change(factor, value, generator) for _ in range(400))
    assert all(one in factor for one in found)
    assert near <= set(found)
    assert sum(found[one] for one in near) > 250
