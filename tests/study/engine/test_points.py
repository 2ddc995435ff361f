"""The points of a search close when all their seeds have, with the mean over seeds, and survive their driver."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from study.engine import points as module
from study.engine.ledger import Ledger
from study.engine.points import Points
from study.engine.population import PopulationSource
from study.engine.sources import PastPoint, Point, PointState
from study.planning.design import PlannedTrial, plan_trials, trials_of_point
from study.spec import LogUniform, Population, Study
from tests.study.test_spec import make_study
from usplit_core.settings import Setting

STUDY = make_study(train={}, replicates=2, objective="validation/psnr_db")


class Told(NamedTuple):
    number: int
    values: tuple[float, ...] | None
    state: PointState


class Listed:
    """A source that draws what it is given."""

    draws_all = False

    def __init__(self, points: list[Point]) -> None:
        self.points, self.told = points, list[Told]()

    @property
    def left(self) -> int:
        return len(self.points)

    def next_point(self) -> Point | None:
        return self.points.pop(0) if self.points else None

    def tell(self, number: int, values: tuple[float, ...] | None, state: PointState) -> None:
        self.told.append(Told(number, values, state))


def expand(point: Point) -> list[PlannedTrial]:
    study = make_study(train={}, replicates=2, base={**STUDY.base, **point.settings})
    return plan_trials(study, lambda data: "content")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        opened.register(STUDY, [])
        yield opened


@pytest.fixture
def psnr(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Return the best validation PSNR by fingerprint; what is missing was never reported."""
    values: dict[str, float] = {}

    def read(last: Path) -> dict[str, float]:
        name = last.parent.name
        return {"validation/psnr_db": values[name]} if name in values else {}

    monkeypatch.setattr(module, "read_best_metrics", read)
    return values


def drawn(study: Study, ledger: Ledger, source: Listed) -> tuple[Points, list[PlannedTrial]]:
    points = Points(study, source, ledger, expand)
    trials = points.draw()
    assert trials is not None
    ledger.append(study, trials)
    return points, trials


def test_a_point_is_told_once_all_seeds_are_closed(ledger: Ledger, psnr: dict[str, float]) -> None:
    source = Listed([Point(0, {"model.lc_depth": 2})])
    points, (first, second) = drawn(STUDY, ledger, source)
    psnr |= {first.fingerprint: 20.0, second.fingerprint: 24.0}
    points.close_trial(first.fingerprint, "finished", Path)
    assert source.told == []
    points.close_trial(second.fingerprint, "finished", Path)
    assert source.told == [Told(0, (22.0,), "finished")]
    assert ledger.points(STUDY.name) == ([PastPoint(0, {"model.lc_depth": 2}, "finished", (22.0,))], [])
    assert points.draw() is None


@pytest.mark.parametrize(
    ("states", "state", "values"),
    [
        (("finished", "pruned"), "pruned", (22.0,)),
        (("pruned", "failed"), "failed", None),
        (("failed", "finished"), "failed", None),
    ],
)
def test_a_point_is_as_good_as_its_worst_seed(
    states: tuple[PointState, PointState],
    state: PointState,
    values: tuple[float, ...] | None,
    ledger: Ledger,
    psnr: dict[str, float],
) -> None:
    source = Listed([Point(0, {"model.lc_depth": 2})])
    points, trials = drawn(STUDY, ledger, source)
    for trial, ended, value in zip(trials, states, (20.0, 24.0), strict=True):
        psnr[trial.fingerprint] = value
        points.close_trial(trial.fingerprint, ended, Path)
    assert source.told == [Told(0, values, state)]


def test_a_trial_without_the_objective_fails_its_point(ledger: Ledger, psnr: dict[str, float]) -> None:
    source = Listed([Point(0, {"model.lc_depth": 2})])
    points, trials = drawn(STUDY, ledger, source)
    for trial in trials:
        points.close_trial(trial.fingerprint, "finished", Path)
    assert source.told == [Told(0, None, "failed")]


def test_a_point_left_open_is_taken_up_by_the_next_launch(ledger: Ledger, psnr: dict[str, float]) -> None:
    point = Point(0, {"model.lc_depth": 2, "train.learning_rate": 0.5})
    drawn(STUDY, ledger, Listed([point]))
    past, still_open = ledger.points(STUDY.name)
    assert (past, still_open) == ([], [point])

    source = Listed([])
    points = Points(STUDY, source, ledger, expand)
    for trial in points.resume(still_open):
        psnr[trial.fingerprint] = 21.0
        points.close_trial(trial.fingerprint, "finished", Path)
    assert source.told == [Told(0, (21.0,), "finished")]


def test_a_failed_point_is_taken_up_again_and_told_anew(ledger: Ledger, psnr: dict[str, float]) -> None:
    points, (first, second) = drawn(STUDY, ledger, Listed([Point(0, {"model.lc_depth": 2})]))
    psnr |= {first.fingerprint: 20.0, second.fingerprint: 24.0}
    points.close_trial(first.fingerprint, "finished", Path)
    points.close_trial(second.fingerprint, "failed", Path)
    past, still_open = ledger.points(STUDY.name)
    assert (past, still_open) == ([], [Point(0, {"model.lc_depth": 2})])

    source = Listed([])
    relaunched = Points(STUDY, source, ledger, expand)
    relaunched.resume(still_open)
    for trial in (first, second):
        relaunched.close_trial(trial.fingerprint, "finished", Path)
    assert source.told == [Told(0, (22.0,), "finished")]


def test_a_generation_that_has_been_begun_stays_the_same_when_a_failed_member_is_tried_again(
    ledger: Ledger, psnr: dict[str, float]
) -> None:
    study = make_study(
        base={**STUDY.base, "model.lc_depth": 0},
        train={"train.learning_rate": LogUniform(1e-5, 1e-2)},
        replicates=1,
        design=Population(members=4, generations=3),
        objective="validation/psnr_db",
    )

    def trials_of(settings: Mapping[str, Setting]) -> list[PlannedTrial]:
        return trials_of_point(study, settings, lambda data: "content")

    def launch() -> tuple[Points, list[PlannedTrial]]:
        past, still_open = ledger.points(study.name)
        source = PopulationSource(study, past, still_open, lambda settings: trials_of(settings)[0].fingerprint)
        points = Points(study, source, ledger, lambda point: trials_of(point.settings))
        return points, points.resume(still_open)

    points, _ = launch()
    first: list[PlannedTrial] = []
    while len(first) < 4:
        first += points.draw() or []
    psnr |= {trial.fingerprint: 30.0 + index for index, trial in enumerate(first)}
    for trial in first[:3]:
        points.close_trial(trial.fingerprint, "finished", Path)
    points.close_trial(first[3].fingerprint, "failed", Path)
    second = points.draw() or []

    points, still_open = launch()
    assert still_open == [first[3], *second]
    points.close_trial(first[3].fingerprint, "finished", Path)
    while (others := points.draw()) is not None:
        second += others
    assert len(second) == 4
    origins = {trial.run.train.continue_from for trial in second}
    assert origins <= {trial.fingerprint for trial in first[:3]}
