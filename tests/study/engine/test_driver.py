"""The driver books every message once, retries what ran out of memory alone, and stops when it must."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from study.engine.driver import Driver
from study.engine.ledger import Ledger, TrialStatus
from study.engine.trial import Assignment
from study.planning.datasets import data_key
from study.planning.design import PlannedTrial, plan_trials
from study.spec import ASHA, Grid, Study
from study.store import Store
from tests.study.test_spec import make_study


class NoTracking:
    """A tracking store that takes everything and keeps nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *values, **more: None


class TwoSlots:
    """A cluster with room for two trials of one core."""

    def request(self, run: Any, *, alone: bool) -> tuple[int, float]:
        return (2, 0.0) if alone else (1, 0.0)

    def count(self) -> int:
        return 2


class Images:
    """What the driver asks of a data set."""

    content = "content"
    channel_names = ("a", "b")


class Desk:
    """A driver with its ledger, for a study of three trials."""

    def __init__(self, folder: Path, ledger: Ledger, **changes: Any) -> None:
        settings: dict[str, Any] = {
            "train": {"model.lc_depth": Grid(0, 1, 2)},
            "replicates": 1,
            "failures_allowed": 1,
            **changes,
        }
        self.study: Study = make_study(**settings)
        self.trials: list[PlannedTrial] = plan_trials(self.study, lambda data: "content")
        self.ledger = ledger
        self.shown: list[tuple[str, str]] = []
        ledger.register(self.study, self.trials)
        tracker: Any = NoTracking()
        self.driver = Driver(self.study, self.trials, store=Store(folder), ledger=ledger, tracker=tracker)
        self.driver.begin(None)
        images: Any = {data_key(trial.run.data): Images() for trial in self.trials}
        slots: Any = TwoSlots()
        self.driver.connect(images, slots)
        self.driver.show = lambda fingerprint, message: self.shown.append((fingerprint, message["kind"]))

    def next(self) -> Assignment:
        assignment = self.driver.next_assignment()
        assert assignment is not None
        return assignment

    def finish(self, assignment: Assignment) -> None:
        """Report what a worker does once its training is over."""
        trial = next(trial for trial in self.trials if trial.fingerprint == assignment.fingerprint)
        for key in trial.evaluation_keys:
            self.driver.take(trial.fingerprint, {"kind": "evaluation", "key": key, "metrics": {"test/ssim": 0.5}})
        self.driver.take(trial.fingerprint, {"kind": "finished"})

    def look_again(self) -> None:
        """Let the next question look, however short the time since the last one was."""
        self.driver._limits._last_look = float("-inf")

    def status(self, fingerprint: str) -> TrialStatus:
        return next(s for s in self.ledger.statuses(self.study.name) if s.fingerprint == fingerprint)

    def state(self, fingerprint: str) -> str:
        return self.status(fingerprint).state


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


def epoch(number: int, epochs: int = 10) -> dict[str, Any]:
    return {"kind": "epoch", "epoch": number, "epochs": epochs, "metrics": {}, "monitor": 1.0, "steps": 5}


def failed(reason: str) -> dict[str, Any]:
    return {"kind": "failed", "reason": reason}


def test_every_trial_is_handed_out_once_in_the_order_of_the_study(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger)
    assert [desk.next().fingerprint for _ in range(3)] == [trial.fingerprint for trial in desk.trials]
    assert desk.driver.next_assignment() is None
    assert desk.driver.has_leases()


def test_a_finished_trial_is_closed_and_late_messages_change_nothing(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger)
    first = desk.next().fingerprint
    desk.driver.take(first, {"kind": "finished"})
    desk.driver.take(first, failed("error: too late"))
    assert desk.state(first) == "finished"
    assert desk.shown == [(first, "finished")]


def test_a_trial_out_of_memory_is_tried_once_more_alone_and_then_fails(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger)
    first = desk.next()
    assert (first.cpus, first.gpus) == (1, 0.0)
    desk.driver.take(first.fingerprint, failed("memory: CUDA out of memory"))
    assert desk.state(first.fingerprint) == "pending"
    again = desk.next()
    assert (again.fingerprint, again.cpus) == (first.fingerprint, 2)
    desk.driver.take(first.fingerprint, failed("memory: CUDA out of memory"))
    assert desk.state(first.fingerprint) == "failed"
    assert desk.next().fingerprint != first.fingerprint


def test_one_failure_is_recorded_and_the_others_go_on(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger)
    first = desk.next().fingerprint
    desk.driver.take(first, failed("diverged: not finite"))
    assert desk.state(first) == "failed"
    assert not desk.driver.must_stop()
    assert desk.next().fingerprint != first


def test_more_failures_of_a_kind_than_allowed_stop_the_study(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger)
    for _ in range(2):
        desk.driver.take(desk.next().fingerprint, failed("diverged: not finite"))
    assert desk.driver.must_stop()
    assert "2 trials failed in the same way" in desk.driver.stop_reason
    assert desk.driver.next_assignment() is None


def test_a_worker_that_was_lost_is_a_failure_of_the_infrastructure(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger)
    first = desk.next().fingerprint
    desk.driver.lose(first, "the actor died")
    status = desk.ledger.statuses(desk.study.name)[0]
    assert (status.state, status.reason) == ("failed", "lost: the actor died")


def test_a_trial_that_ray_ends_within_its_training_is_pruned(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, stopping=ASHA())
    first = desk.next()
    assert first.repeat_epochs
    for number in (1, 2):
        desk.driver.take(first.fingerprint, epoch(number))
    desk.driver.end(first.fingerprint, epoch(2))
    status = desk.status(first.fingerprint)
    assert status.state == "pruned"
    assert "epoch 2" in status.reason
    assert not status.is_open
    assert ledger.spent(desk.study.name).steps == 2 * epoch(1)["steps"]
    assert [kind for _, kind in desk.shown] == ["epoch", "epoch", "pruned"]


def test_a_trial_that_ended_by_itself_is_not_pruned(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, stopping=ASHA())
    first = desk.next().fingerprint
    desk.driver.take(first, {"kind": "finished"})
    desk.driver.end(first, {"kind": "finished"})
    assert desk.state(first) == "finished"


def test_closed_trials_are_replayed_for_a_stopping_rule_and_keep_their_state(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, stopping=ASHA())
    first, second = desk.next().fingerprint, desk.next().fingerprint
    desk.driver.end(first, epoch(2))
    ledger.release_leases("the driver was killed")

    later = Desk(tmp_path, ledger, stopping=ASHA())
    replay, work = later.next(), later.next()
    assert (replay.fingerprint, replay.replay) == (first, True)
    assert (work.fingerprint, work.replay) == (second, False)
    later.driver.take(first, epoch(1))
    later.driver.end(first, epoch(1))
    assert later.state(first) == "pruned"
    assert later.shown == []


def test_another_study_without_a_stopping_rule_wants_a_pruned_trial_whole(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, stopping=ASHA())
    first = desk.next().fingerprint
    desk.driver.end(first, epoch(2))
    whole = Desk(tmp_path, ledger, name="whole")
    assert first in {whole.next().fingerprint for _ in range(3)}


def test_a_stopping_rule_gets_the_trials_in_an_order_that_no_factor_follows(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(
        tmp_path, ledger, stopping=ASHA(), train={"train.learning_rate": Grid(*(1e-4 * k for k in range(1, 9)))}
    )
    handed_out = [desk.next().fingerprint for _ in range(8)]
    in_order = [trial.fingerprint for trial in desk.trials]
    assert sorted(handed_out) == sorted(in_order)
    assert handed_out not in (in_order, in_order[::-1])


class CompletePoints:
    """A search that draws only what the store has computed already: nothing is left of its points."""

    def __init__(self, number: int) -> None:
        self.left = number

    def draw(self) -> list[PlannedTrial] | None:
        if not self.left:
            return None
        self.left -= 1
        return []

    def close_trial(self, fingerprint: str, state: str, folder_of: Any) -> None:
        """Take note of a trial that is closed."""


def test_a_search_may_draw_any_number_of_points_that_are_complete_already(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger, train={})
    desk.finish(desk.next())
    points: Any = CompletePoints(sys.getrecursionlimit())
    desk.driver.begin(points)
    assert not desk.driver.has_work()
    assert points.left == 0


def test_a_request_to_stop_is_seen(tmp_path: Path, ledger: Ledger) -> None:
    desk = Desk(tmp_path, ledger)
    request = Store(tmp_path).stop_request(desk.study.name)
    request.parent.mkdir(parents=True)
    request.touch()
    desk.look_again()
    assert desk.driver.must_stop()
    assert desk.driver.stop_reason == "usplit stop"
