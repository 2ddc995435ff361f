"""What is posted waits for nobody, and is written once the tracking store answers."""

import threading

import pytest

from study.tracking.outbox import Note, Outbox
from tests.study.tracking.trials import planned
from usplit_core.errors import UserError


def note(seed: int, state: str = "running") -> Note:
    return Note(planned(seed), state, "", {})


def test_posting_waits_for_no_writing() -> None:
    begun, may_end = threading.Event(), threading.Event()
    written: list[tuple[str, str]] = []

    def write(given: Note) -> None:
        begun.set()
        assert may_end.wait(60), "the tracking store was waited for"
        written.append((given.trial.fingerprint, given.state))

    outbox = Outbox(write, interval_s=0.001)
    outbox.post(note(0))
    assert begun.wait(60)
    outbox.post(note(0, "finished"))
    outbox.post(note(1))
    assert written == []
    may_end.set()
    outbox.drain()
    assert written == [("trial0", "running"), ("trial0", "finished"), ("trial1", "running")]


def test_notes_of_one_trial_that_wait_together_are_one() -> None:
    written: list[Note] = []
    outbox = Outbox(written.append, interval_s=60)
    outbox.post(note(0)._replace(tags={"host": "node1", "device": "x86_64"}))
    outbox.post(note(0, "finished")._replace(tags={"host": "node2"}))
    outbox.drain()
    assert [(one.state, one.tags) for one in written] == [("finished", {"host": "node2", "device": "x86_64"})]


def test_what_cannot_be_written_still_waits_whatever_went_wrong() -> None:
    written: list[str] = []
    problems = iter([UserError("away"), ValueError("torn")])

    def write(given: Note) -> None:
        for problem in problems:
            raise problem
        written.append(given.state)

    outbox = Outbox(write, interval_s=60)
    outbox.post(note(0))
    with pytest.raises(UserError, match="away"):
        outbox.drain()
    with pytest.raises(ValueError, match="torn"):
        outbox.drain()
    outbox.post(note(0, "finished"))
    outbox.drain()
    assert written == ["finished"]


def test_the_thread_says_what_goes_wrong_and_goes_on() -> None:
    problems = iter([UserError("away"), ValueError("torn")])
    told: list[str] = []
    sent = threading.Event()

    def write(given: Note) -> None:
        told.append(outbox.problem)
        for problem in problems:
            raise problem
        sent.set()

    outbox = Outbox(write, interval_s=0.001)
    outbox.post(note(0))
    assert sent.wait(60)
    outbox.drain()
    assert told == ["", "away", "torn"]
    assert outbox.problem == ""
