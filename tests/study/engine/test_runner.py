"""Launch after launch of a search on one store, with workers that only write what trials leave behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from study.engine import points, runner
from study.engine.driver import Driver
from study.engine.ledger import Ledger
from study.engine.runner import PreparedStudy
from study.engine.trial import Assignment
from study.engine.trial_folder import read_result, write_evaluation, write_result
from study.planning.fingerprint import evaluation_key
from study.spec import Grid, LogUniform, Population, Search, Study
from study.store import Store
from study.tracking import tracker
from tests.study.engine.test_driver import Images, NoTracking, TwoSlots
from tests.study.studies import SMALL, make_study
from usplit_core.config import TilingConfig

SCORES = {"metrics": {"test/psnr_db": 30.0}, "frames": []}
#: Computes what a study lacks; returns the fingerprints that workers were given.
Launch = Callable[..., list[str]]


def search(**changes: Any) -> Study:
    settings: dict[str, Any] = {
        "base": {**SMALL, "model.lc_depth": 0},
        "train": {"train.learning_rate": LogUniform(1e-4, 1e-2)},
        "design": Search(trials=4, sampler="random"),
        "objective": "validation/psnr_db",
    }
    return make_study(**settings | changes)


class AnyImages(dict[Any, Images]):
    """The same images for every data section."""

    def __missing__(self, key: Any) -> Images:
        return Images()


def work(store: Store, driver: Driver, assignment: Assignment) -> None:
    """Do what a worker does, without the computing."""
    folder = store.trial_folder(assignment.fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    driver.take(assignment.fingerprint, {"kind": "started", "host": "node"})
    write_result(folder, {"cost": {}})
    for tiling in assignment.tilings:
        key = evaluation_key(TilingConfig.model_validate(tiling))
        write_evaluation(folder, key, SCORES, {"input": np.zeros(1)})
        driver.take(assignment.fingerprint, {"kind": "evaluation", "key": key, "metrics": SCORES["metrics"]})
    driver.take(assignment.fingerprint, {"kind": "finished"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    with Ledger.open(store.ledger) as opened:
        yield opened


@pytest.fixture
def launch(store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Launch:
    given: list[str] = []

    def on_this_machine(prepared: PreparedStudy, driver: Driver, *more: Any) -> None:
        images: Any = AnyImages()
        slots: Any = TwoSlots()
        driver.connect(images, slots)
        while (assignment := driver.next_assignment()) is not None:
            given.append(assignment.fingerprint)
            work(store, driver, assignment)

    monkeypatch.setattr(runner, "_run_on_ray", on_this_machine)
    monkeypatch.setattr(tracker, "Tracker", lambda *arguments: NoTracking())
    monkeypatch.setattr(points, "read_best_metrics", lambda last: {"validation/psnr_db": 30.0})

    def begin(study: Study, *, fresh: bool = False) -> list[str]:
        given.clear()
        images: Any = AnyImages()
        ledger.register(study, [])
        quiet = Console(quiet=True)
        prepared = PreparedStudy(study, [], images)
        runner._compute(prepared, store, ledger, console=quiet, address=None, fresh=fresh, local=None)
        return list(given)

    return begin


@pytest.mark.parametrize(
    "design", [Search(trials=4, sampler="random"), Population(members=2, generations=2)], ids=["search", "population"]
)
def test_a_search_that_is_to_be_computed_again_trains_every_point_again(
    design: Search | Population, launch: Launch, ledger: Ledger
) -> None:
    asked = search(design=design)
    first = launch(asked)
    assert len(first) == 4
    assert launch(asked) == []
    assert launch(asked, fresh=True) == first
    closed, still_open = ledger.points(asked.name)
    assert (len(closed), still_open) == (4, [])


def test_a_search_that_is_begun_again_leaves_nothing_of_what_it_had_drawn(
    launch: Launch, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = launch(search())
    monkeypatch.setattr(runner, "_run_on_ray", lambda *arguments: None)
    launch(search(), fresh=True)
    assert [read_result(store.trial_folder(fingerprint)) for fingerprint in drawn] == [None] * 4


def test_drawn_trials_that_another_study_has_trained_are_evaluated_as_this_one_asks(
    launch: Launch, ledger: Ledger
) -> None:
    trained = launch(search(name="one"))
    asked = search(name="other", evaluate={"tiling.mode": Grid("inner", "outer")})
    assert launch(asked) == trained
    assert [status.evaluations_done for status in ledger.statuses(asked.name)] == [2] * 4
    closed, still_open = ledger.points(asked.name)
    assert (len(closed), still_open) == (4, [])
    assert launch(asked) == []
