"""What is handed to a worker next."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from study.engine.ledger import TrialStatus
from study.engine.points import Points
from study.planning.design import PlannedTrial


class Request(NamedTuple):
    """A trial for a worker.

    Attributes
    ----------
    alone
        It ran out of memory beside others, so it gets a device of its own.
    replay
        It is closed, and only its epochs are repeated for the stopping rule.
    """

    trial: PlannedTrial
    alone: bool = False
    replay: bool = False


class Queue:
    """Replays first, then evaluations of what is trained, then trials that need a device alone, then other trials.

    Parameters
    ----------
    trials, statuses
        The trials of the study and what the ledger knows of them, in one order.
    replay_closed
        Whether a stopping rule decides, which must see the closed trials again.
    points
        The search, where the study is one.
    """

    def __init__(
        self,
        trials: Sequence[PlannedTrial],
        statuses: Sequence[TrialStatus],
        *,
        replay_closed: bool = False,
        points: Points | None = None,
    ) -> None:
        both = list(zip(trials, statuses, strict=True))
        if replay_closed:
            # A rule compares a trial with those before it: in the order of a grid, where each may be better
            # than the last, it would stop none. Fingerprints are hashes, so their order is as good as drawn.
            both.sort(key=lambda pair: pair[0].fingerprint)
        self._open: deque[PlannedTrial] = deque()
        self._trained: deque[PlannedTrial] = deque()
        for trial, status in both:
            if status.is_open:
                self._append(trial, status)
        closed = (trial for trial, status in both if status.state in ("finished", "pruned") and not status.is_open)
        self._replays = deque(closed if replay_closed else ())
        self._alone: deque[PlannedTrial] = deque()
        self._tried_alone: set[str] = set()
        self._points = points

    def next(self) -> Request | None:
        """Return what comes next, or None where nothing is left at this moment."""
        if self._replays:
            return Request(self._replays.popleft(), replay=True)
        if self._trained:
            return Request(self._trained.popleft())
        if self._alone:
            return Request(self._alone.popleft(), alone=True)
        if self._open:
            return Request(self._open.popleft())
        return None

    def has_open(self) -> bool:
        """Return whether a trial waits to be computed; replays do not count."""
        return bool(self._open or self._alone or self._trained)

    def has_trained(self) -> bool:
        """Return whether a trial waits that only lacks evaluations."""
        return bool(self._trained)

    def has_replays(self) -> bool:
        """Return whether a closed trial waits to be replayed."""
        return bool(self._replays)

    def draw(self) -> list[PlannedTrial] | None:
        """Return the trials of the next point of a search; None where there is none at this moment."""
        return None if self._points is None else self._points.draw()

    def add(self, trials: Sequence[PlannedTrial], statuses: Sequence[TrialStatus]) -> None:
        """Append the open ones of these trials; one that another study has trained may lack evaluations only."""
        known = {trial.fingerprint for trial in (*self._open, *self._alone, *self._trained)}
        for trial, status in zip(trials, statuses, strict=True):
            waits = status.is_open and status.state in ("pending", "finished")
            if waits and trial.fingerprint not in known:
                self._append(trial, status)

    def _append(self, trial: PlannedTrial, status: TrialStatus) -> None:
        (self._trained if status.state == "finished" else self._open).append(trial)

    def retry_alone(self, trial: PlannedTrial) -> bool:
        """Put a trial that ran out of memory in front, once; return False where it has had that chance."""
        if trial.fingerprint in self._tried_alone:
            return False
        self._tried_alone.add(trial.fingerprint)
        self._alone.append(trial)
        return True
