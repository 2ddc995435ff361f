"""A used budget begins no more trainings, ends those that cost more of it, and lets everything else be completed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from study.engine.ledger import Ledger
from study.words.budget import Budget
from tests.study.engine.test_driver import Desk, epoch


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.mark.parametrize("budget", [Budget(steps=5), Budget(device_hours=1e-9)])
def test_a_used_budget_ends_the_trials_that_run(budget: Budget, tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, budget=budget)
    first = desk.next().fingerprint
    desk.driver.take(first, {"kind": "started", "host": "node"})
    desk.driver.take(first, epoch(1))
    desk.look_again()
    assert desk.driver.must_stop()
    assert "budget" in desk.driver.stop_reason
    desk.driver.end(first, epoch(1))
    assert desk.state(first) == "leased"
    assert desk.driver.settle()
    assert desk.state(first) == "pending"


def test_a_budget_of_trainings_lets_those_that_run_finish(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, budget=Budget(trainings=2))
    first, second = desk.next().fingerprint, desk.next().fingerprint
    assert desk.driver.next_assignment() is None
    desk.look_again()
    assert not desk.driver.must_stop()
    for fingerprint in (first, second):
        desk.driver.take(fingerprint, {"kind": "finished"})
    assert desk.driver.next_assignment() is None
    assert not desk.driver.has_leases()
    assert "budget.trainings = 2" in desk.driver.held_back


def test_a_used_budget_of_trainings_holds_back_no_evaluation_of_what_is_trained(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, budget=Budget(trainings=2))
    desk.finish(desk.next())
    interrupted = desk.next().fingerprint
    ledger.close_attempt(interrupted, "finished", outcome="recovered")

    later = Desk(tmp_path, ledger, budget=Budget(trainings=2))
    assert later.driver.has_work()
    assert later.next().fingerprint == interrupted
    assert later.driver.next_assignment() is None
    assert "budget.trainings = 2" in later.driver.held_back


def test_a_study_that_ends_within_its_budget_was_not_held_back(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, budget=Budget(trainings=3))
    for _ in range(3):
        desk.driver.take(desk.next().fingerprint, {"kind": "finished"})
    assert desk.driver.next_assignment() is None
    assert desk.driver.held_back == ""


def test_a_budget_that_was_used_before_begins_nothing_and_says_so(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, budget=Budget(trainings=1))
    desk.finish(desk.next())
    later = Desk(tmp_path, ledger, budget=Budget(trainings=1))
    assert not later.driver.has_work()
    assert "budget.trainings = 1" in later.driver.held_back
