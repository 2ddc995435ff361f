"""Which combinations each design trains."""

import itertools
from typing import Any

import numpy as np
import pytest

from study.spec import (
    ASHA,
    AtMost,
    Choice,
    Constraint,
    Fractional,
    FullFactorial,
    Grid,
    IntRange,
    LatinHypercube,
    LogUniform,
    OneFactor,
    Population,
    Random,
    Search,
    Study,
    Uniform,
    left_out,
    train_points,
)
from study.words.layouts import cross
from study.words.walk import make_space
from tests.study.studies import conditional_study, make_study
from usplit_core.errors import ConfigError

NAMES = ("data.augment", "data.clip_per_channel", "model.depth", "model.lc_depth", "train.batch_size", "train.epochs",
         "train.plateau_patience")  # fmt: skip
DRAWN: dict[str, Any] = {
    "model.dropout": Uniform(0.0, 0.5),
    "train.learning_rate": LogUniform(1e-5, 1e-1),
    "train.batch_size": IntRange(1, 20),
    "data.superposition": Choice("average", "sum"),
}


def levels_of_runs(counts: list[int], design: Fractional) -> np.ndarray:
    """Return the index of the level of every factor (columns) in every training (rows)."""
    factors = {name: Grid(*range(count)) for name, count in zip(NAMES, counts, strict=False)}
    points = cross(make_space({}, factors, (), ()), design).points
    return np.array([list(point.values()) for point in points])


def test_a_full_factorial_crosses_everything_the_first_factor_slowest() -> None:
    study = make_study(train={"model.lc_depth": Grid(0, 2), "data.augment": Grid(False, True)})
    assert [tuple(point.values()) for point in train_points(study)] == [(0, False), (0, True), (2, False), (2, True)]


@pytest.mark.parametrize(
    ("factors", "fraction", "resolution"), [(3, 1 / 2, 3), (4, 1 / 2, 4), (5, 1 / 2, 5), (5, 1 / 4, 3), (6, 1 / 4, 4),
                                            (7, 1 / 8, 4), (7, 1 / 16, 3)]
)  # fmt: skip
def test_a_two_level_fraction_has_the_highest_resolution(factors: int, fraction: float, resolution: int) -> None:
    """Resolutions as in Box, Hunter & Hunter, Statistics for Experimenters, table 6.22."""
    signs = 2 * levels_of_runs([2] * factors, Fractional(fraction)) - 1
    assert len(signs) == 2**factors * fraction
    sizes = [
        size
        for size in range(1, factors + 1)
        for columns in itertools.combinations(range(factors), size)
        if abs(signs[:, columns].prod(axis=1).sum()) == len(signs)
    ]
    assert min(sizes) == resolution


@pytest.mark.parametrize(("counts", "fraction"), [([3, 3, 3], 1 / 3), ([2, 3, 4], 1 / 2), ([3, 2, 2], 1 / 2)])
def test_a_mixed_fraction_is_balanced(counts: list[int], fraction: float) -> None:
    rows = levels_of_runs(counts, Fractional(fraction))
    assert len(rows) == np.prod(counts) * fraction
    for column, count in enumerate(counts):
        occurrences = np.bincount(rows[:, column], minlength=count)
        assert set(occurrences) == {len(rows) // count}


@pytest.mark.parametrize(
    ("counts", "fraction", "message"),
    [
        ([2, 2, 2], 1 / 4, "2 trainings cannot tell their main effects apart; use a larger fraction"),
        ([3, 2], 1 / 5, "3 x 2 levels cannot be built"),
        ([4, 2, 2], 1 / 4, "2 is in none of the 4 trainings; use a larger fraction"),
    ],
)
def test_a_fraction_that_is_too_small_is_refused(counts: list[int], fraction: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        levels_of_runs(counts, Fractional(fraction))


def test_one_factor_at_a_time_counts_one_and_every_other_level() -> None:
    train = {
        "model.lc_depth": Grid(0, 1, 2, 3),
        "data.augment": Grid(False, True),
        "model.dropout": Grid(0.0, 0.1, 0.2),
    }
    study = make_study(train=train, design=OneFactor(around={"model.lc_depth": 2}))
    points = list(train_points(study))
    assert len(points) == 1 + 3 + 1 + 2
    assert points[0] == {"model.lc_depth": 2, "data.augment": False, "model.dropout": 0.0}
    assert all(sum(point[name] != points[0][name] for name in train) == 1 for point in points[1:])


def test_a_latin_hypercube_has_one_point_in_every_stratum() -> None:
    study = make_study(train=DRAWN, design=LatinHypercube(trials=20, seed=3))
    points: list[dict[str, Any]] = list(train_points(study))
    assert sorted(int(point["model.dropout"] / 0.5 * 20) for point in points) == list(range(20))
    decades = [np.log10(point["train.learning_rate"] / 1e-5) / 4 for point in points]
    assert sorted(int(decade * 20) for decade in decades) == list(range(20))
    assert sorted(point["train.batch_size"] for point in points) == list(range(1, 21))
    assert [point["data.superposition"] for point in points].count("sum") == 10


@pytest.mark.parametrize("design", [LatinHypercube, Random])
def test_draws_depend_on_the_seed_alone(design: Any) -> None:
    def points(seed: int) -> list[dict[str, Any]]:
        return list(train_points(make_study(train=DRAWN, design=design(trials=8, seed=seed))))

    assert points(0) == points(0)
    assert points(0) != points(1)


@pytest.mark.parametrize("design", [LatinHypercube, Random])
def test_what_a_rule_forbids_is_drawn_again(design: Any) -> None:
    study = conditional_study(design=design(trials=60))
    assert len(list(train_points(study))) == 60
    assert dict(left_out(study)).keys() == {"a patch is halved at every level"}


def test_every_point_of_a_small_space_can_be_drawn() -> None:
    train = {"model.depth": IntRange(4, 6), "data.augment": Choice(False, True)}
    points = list(train_points(make_study(train=train, design=Random(trials=6))))
    assert len({tuple(point.items()) for point in points}) == 6


GRIDS: dict[str, Any] = {"model.depth": Grid(2, 3), "data.augment": Grid(False, True)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": GRIDS, "design": Random(trials=3)}, r"Random draws levels .* use Choice\(2, 3\), or design=FullFac"),
        ({"train": DRAWN}, "FullFactorial crosses the levels of grids .* use Grid.*, or a design that draws"),
        ({"train": DRAWN, "design": OneFactor()}, "OneFactor crosses"),
        ({"train": {"model.depth": 3}}, "3 is no factor; use such as Grid"),
        ({"design": Random(trials=3)}, "nothing to draw: name at least one factor"),
        ({"train": GRIDS, "design": OneFactor({"model.dept": 2})}, "model.dept, which does not vary; did you mean"),
        ({"train": GRIDS, "design": OneFactor({"model.depth": 4})}, r"= 4 is not in Grid\(2, 3\); use one of its"),
        (
            {"train": {"model.depth": Choice(4, 5)}, "design": Random(trials=3)},
            "only 2 different points; set trials to",
        ),
        (
            {"train": {"model.depth": Choice(4, 5)}, "design": Search(trials=3), "objective": "validation/psnr_db"},
            "only 2 different points",
        ),
        (
            {
                "train": {"model.patch_px": Choice(64, 67), "model.dropout": Uniform(0, 1e-3)},
                "design": Random(trials=3),
            },
            "patch_px = 67: this network needs .*No rule forbids this draw .*or narrow a factor",
        ),
        (
            {
                "train": {"model.depth": IntRange(2, 3), "model.lc_depth": IntRange(4, 5)},
                "conditions": (AtMost("model.lc_depth", "model.depth"),),
                "design": Random(trials=2),
            },
            r"leave nothing to train .*5000 x model.lc_depth is at most model.depth",
        ),
    ],
)
def test_a_design_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        make_study(**changes)


@pytest.mark.parametrize(
    ("design", "arguments", "message"),
    [
        (Fractional, {"fraction": 0.4}, "use 1/2, 1/3, 1/4"),
        (Fractional, {"fraction": 1.0}, "or FullFactorial"),
        (Random, {"trials": 0}, "at least 1"),
        (LatinHypercube, {"trials": 2.5}, "whole number of trials"),
        (Search, {"trials": 3, "seed": -1}, "from 0"),
        (Search, {"trials": 3, "sampler": "cmaes"}, "did you mean 'cma-es'"),
    ],
)
def test_a_wrong_word_of_a_design_is_refused(design: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        design(**arguments)


def test_a_level_that_a_constraint_removes_from_a_fraction_is_named() -> None:
    rule = Constraint(names=("model.depth",), allows=lambda depth: depth < 3, reason="shallow ones only")
    train = {**GRIDS, "data.clip_per_channel": Grid(False, True)}
    with pytest.raises(ConfigError, match=r"model\.depth = 3 is in none of the 2 trainings"):
        make_study(train=train, design=Fractional(1 / 2), constraints=(rule,))


@pytest.mark.parametrize(
    "design", [FullFactorial(), Fractional(1 / 2), OneFactor({"model.depth": 3}), Random(3), Search(4, 1, "gp")]
)
def test_a_design_is_described_by_its_name(design: Any) -> None:
    assert design.describe()["kind"] == type(design).__name__


def test_a_full_factorial_is_the_default() -> None:
    assert isinstance(make_study(train=GRIDS), Study)
    assert make_study(train=GRIDS).design == FullFactorial()


MUTABLE: dict[str, Any] = {"train.learning_rate": LogUniform(1e-4, 1e-2), "model.lc_depth": Choice(0, 1)}


def test_a_population_trains_every_member_in_every_generation() -> None:
    design = Population(members=4, generations=3)
    assert design.trials == 12
    assert [design.generation(number) for number in (0, 3, 4, 11)] == [0, 0, 1, 2]
    assert make_study(train=MUTABLE, design=design, objective="validation/psnr_db").is_search


def test_a_copy_changes_what_shapes_no_weights_or_what_is_named() -> None:
    assert [Population(4, 2).may_change(name) for name in MUTABLE] == [True, False]
    assert [Population(4, 2, change=()).may_change(name) for name in MUTABLE] == [False, False]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train": {"model.lc_depth": Choice(0, 1)}}, "can change none of the factors"),
        ({"replicates": 2}, "a population has one seed"),
        ({"train": {**MUTABLE, "train.epochs": IntRange(1, 3)}}, "how long a generation is"),
        ({"design": Population(4, 2, change=("train.batch_size",))}, "names train.batch_size, which does not vary"),
        ({"design": Population(4, 2, change=("model.lc_depth",))}, "shapes the weights"),
        ({"stopping": ASHA()}, "replaces its worst members by itself"),
        ({"objective": "test/psnr_db"}, "sees test frames"),
        ({"objective": ("validation/psnr_db", "cost/train_seconds")}, "compares by one metric"),
        ({"train": {"train.batch_size": Choice(1, 2, 3)}}, "set members to at most 3"),
        ({"train": {"train.batch_size": Grid(1, 2, 3)}}, "use Choice"),
    ],
)
def test_a_population_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    sound = {"train": MUTABLE, "design": Population(4, 2), "objective": "validation/psnr_db"}
    with pytest.raises(ConfigError, match=message):
        make_study(**sound | fields)


@pytest.mark.parametrize(("members", "generations", "replaced"), [(1, 2, 0.25), (4, 1, 0.25), (4, 2, 0.0), (4, 2, 0.6)])
def test_a_population_needs_members_generations_and_someone_to_replace(
    members: int, generations: int, replaced: float
) -> None:
    with pytest.raises(ConfigError, match="Population"):
        Population(members, generations, replaced=replaced)


def test_a_base_that_fits_no_draw_is_named_as_such() -> None:
    with pytest.raises(ConfigError, match="Nor is any other draw of this space: look at base"):
        make_study(
            base={"data.path": "cells.tif", "model.lc_depth": 4, "model.depth": 2},
            train={"train.learning_rate": LogUniform(1e-4, 1e-2)},
            design=Random(3),
        )
