"""A search draws points by a sampler, learns from them and goes on after a relaunch."""

import math
from typing import Any, get_args

import pytest

from benchmarks.search_wiring import compare, psnr_db, study_of, table
from study.engine.search import SearchSource
from study.engine.sources import PastPoint, Point, PointState, best_points
from study.spec import AtMost, Choice, IntRange, LogUniform, Search, Study, Uniform, runs_of_point
from study.words.designs import Sampler
from tests.study.studies import conditional_study, make_study
from usplit_core.errors import ConfigError
from usplit_core.settings import Setting

FAST: list[Any] = [sampler for sampler in get_args(Sampler) if sampler != "gp"]


def search(study: Study, past: list[PastPoint], *, points: int = 1000) -> list[PastPoint]:
    """Go on with a search by up to `points`; return all of its points."""
    source, found = SearchSource(study, past), list(past)
    for _ in range(points):
        point = source.next_point()
        if point is None:
            break
        values = (psnr_db(point.settings), 2.0 ** float(str(point.settings["model.depth"])))[: len(study.objectives)]
        source.tell(point.number, values, "finished")
        found.append(PastPoint(point.number, point.settings, "finished", values))
    return found


def distinct(points: list[PastPoint]) -> int:
    """Return the number of different points."""
    return len({tuple(point.settings.items()) for point in points})


@pytest.mark.parametrize("sampler", FAST)
def test_a_search_is_reproducible_and_ends_after_its_trials(sampler: Sampler) -> None:
    study = study_of(sampler, trials=15, seed=2)
    found = search(study, [])
    assert [point.number for point in found] == list(range(15))
    assert distinct(found) == 15
    assert search(study, []) == found


def test_a_gaussian_process_draws_points_of_the_space() -> None:
    found = search(study_of("gp", trials=12, seed=0), [])
    assert distinct(found) == 12


@pytest.mark.parametrize("sampler", FAST)
def test_a_relaunched_search_goes_on_with_new_points(sampler: Sampler) -> None:
    study = study_of(sampler, trials=16, seed=0)
    begun = search(study, [], points=6)
    found = search(study, begun)
    assert [point.number for point in found] == list(range(16))
    assert distinct(found) == 16
    assert search(study, begun) == found


def test_a_finished_search_draws_nothing_and_a_larger_one_goes_on() -> None:
    found = search(study_of("tpe", trials=6, seed=0), [])
    assert SearchSource(study_of("tpe", trials=6, seed=0), found).next_point() is None
    assert len(search(study_of("tpe", trials=9, seed=0), found)) == 9


def test_points_that_were_left_open_are_neither_repeated_nor_lost() -> None:
    study = study_of("tpe", trials=5, seed=0)
    first = SearchSource(study, [])
    drawn = [first.next_point() for _ in range(2)]
    left = [point for point in drawn if point is not None]
    source = SearchSource(study, [], left)
    for point in left:
        source.tell(point.number, (20.0,), "finished")
    further = [source.next_point() for _ in range(3)]
    assert [point.number for point in further if point is not None] == [2, 3, 4]
    assert source.next_point() is None


def test_a_relaunched_sampler_knows_what_it_knew() -> None:
    """Asked after the same past, the best point included, TPE draws near it."""
    study = study_of("tpe", trials=200, seed=0)
    past = search(study, [], points=60)
    best = best_points(past, study.directions)[0]
    source = SearchSource(study, past)
    further = [source.next_point() for _ in range(10)]
    rates = [math.log10(float(str(point.settings["train.learning_rate"]))) for point in further if point is not None]
    middle = math.log10(float(str(best.settings["train.learning_rate"])))
    assert sorted(abs(rate - middle) for rate in rates)[4] < 1.0  # of four decades


@pytest.mark.parametrize("sampler", FAST)
def test_every_point_of_a_conditional_search_is_a_legal_run(sampler: Sampler) -> None:
    study = conditional_study(design=Search(trials=40, sampler=sampler))
    source = SearchSource(study, [])
    while (point := source.next_point()) is not None:
        run = runs_of_point(study, point.settings)[0]
        assert run.model.lc_depth <= run.model.depth - 1
        source.tell(point.number, (float(run.model.depth),), "finished")


def test_a_narrowed_choice_is_drawn_from_what_is_left() -> None:
    study = make_study(
        train={"model.lc_depth": Choice(0, 1, 2, 3), "model.depth": IntRange(1, 4), "model.dropout": Uniform(0, 0.5)},
        conditions=(AtMost("model.lc_depth", "model.depth", minus=1),),
        design=Search(trials=40),
        objective="validation/psnr_db",
    )
    source = SearchSource(study, [])
    depths = []
    while (point := source.next_point()) is not None:
        values: Any = point.settings
        assert values["model.lc_depth"] <= values["model.depth"] - 1
        depths.append(values["model.lc_depth"])
        source.tell(point.number, (float(values["model.lc_depth"]),), "finished")
    # Told that deep is better, it draws deep more often than the quarter of chance.
    assert depths[20:].count(3) > 5


def test_levels_of_any_kind_come_back_as_they_were() -> None:
    levels: tuple[Setting, ...] = (None, (0.3, 0.7), (0.1, 0.9))
    study = make_study(
        train={"data.mixing_weights": Choice(*levels), "data.augment": Choice(False, True)},
        design=Search(trials=6),
        objective="validation/psnr_db",
    )
    source = SearchSource(study, [])
    points = [point for _ in range(6) if (point := source.next_point()) is not None]
    assert {point.settings["data.mixing_weights"] for point in points} == set(levels)
    assert {point.settings["data.augment"] for point in points} == {False, True}


@pytest.mark.parametrize(
    ("state", "values"),
    [("failed", None), ("pruned", (21.0,)), ("pruned", None), ("finished", (math.nan,)), ("finished", (25.0,))],
)
@pytest.mark.parametrize("sampler", FAST)
def test_points_of_every_state_are_told_and_remembered(
    sampler: Sampler, state: PointState, values: tuple[float, ...] | None
) -> None:
    study = study_of(sampler, trials=4, seed=0)
    source = SearchSource(study, [])
    point = source.next_point()
    assert point is not None
    source.tell(point.number, values, state)
    assert source.next_point() is not None
    past = [PastPoint(point.number, point.settings, state, values)]
    following = SearchSource(study, past).next_point()
    assert following is not None
    assert following.number == 1


def test_a_pruned_point_never_counts_as_finished() -> None:
    points = [
        PastPoint(0, {}, "pruned", (30.0,)),
        PastPoint(1, {}, "finished", (20.0,)),
        PastPoint(2, {}, "failed", None),
    ]
    assert best_points(points, ("maximise",)) == [points[1]]


def test_the_best_points_of_two_objectives_are_those_that_none_beats() -> None:
    values = [(30.0, 9.0), (28.0, 5.0), (27.0, 6.0), (30.0, 8.0), (20.0, 1.0), (math.nan, 0.0)]
    points = [PastPoint(number, {}, "finished", value) for number, value in enumerate(values)]
    assert [point.number for point in best_points(points, ("maximise", "minimise"))] == [1, 3, 4]


@pytest.mark.parametrize("sampler", ["tpe", "nsga-ii", "random"])
def test_a_search_may_weigh_quality_against_cost(sampler: Any) -> None:
    cheap = study_of(sampler, trials=30, seed=0)
    study = make_study(
        train=cheap.train,
        conditions=cheap.conditions,
        design=cheap.design,
        objective=("validation/psnr_db", "cost/train_seconds"),
    )
    assert study.directions == ("maximise", "minimise")
    found = search(study, search(study, [], points=10))
    front = best_points(found, study.directions)
    assert len(found) == 30
    assert 1 <= len(front) < 30


def test_a_point_that_the_space_no_longer_has_is_no_obstacle() -> None:
    study = study_of("tpe", trials=5, seed=0)
    gone: dict[str, Setting] = {"model.architecture": "unet", "model.depth": 20}
    source = SearchSource(study, [PastPoint(0, gone, "finished", (9.0,))], [Point(1, gone)])
    source.tell(1, (9.0,), "finished")
    point = source.next_point()
    assert point is not None
    assert point.number == 2


def test_a_design_that_is_no_search_has_no_source() -> None:
    with pytest.raises(ConfigError, match=r"use design=Search"):
        SearchSource(make_study(), [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "test/psnr_db"}, "fits them, so its best score says nothing; set objective to"),
        ({"objective": ("validation/psnr_db", "validation/psnr_db")}, "each once"),
        ({"objective": ()}, "at least one metric"),
        ({"design": Search(trials=4, sampler="cma-es")}, "at least two factors .* this space has 1; use sampler='tpe'"),
        ({"train": {}}, "nothing to draw"),
    ],
)
def test_a_search_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {
        "train": {"train.learning_rate": LogUniform(1e-4, 1e-2), "data.augment": Choice(False, True)},
        "design": Search(trials=4),
        "objective": "validation/psnr_db",
    }
    with pytest.raises(ConfigError, match=message):
        make_study(**fields | changes)


@pytest.mark.slow
def test_tpe_finds_more_than_random_draws_with_most_seeds() -> None:
    rows = compare(seeds=10, trials=60)
    assert sum(row.tpe > row.random for row in rows) >= 8
    assert sum(row.tpe for row in rows) > sum(row.random for row in rows) + 5


def test_tpe_finds_more_than_random_draws() -> None:
    rows = compare(seeds=2, trials=30)
    assert sum(row.tpe for row in rows) > sum(row.random for row in rows)
    assert table(rows).count("\n") == 6
