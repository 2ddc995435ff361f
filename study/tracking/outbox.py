"""What waits to be written to the tracking store, and the thread that writes it.

A note says which trial has news, not what the news are: those are read from the trial's folder when
the note is sent. So nothing is lost while a tracking store is away, however long that lasts, and
nothing but a few names is kept in memory. Notes of one trial melt into one.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from study.planning.design import PlannedTrial

#: How long news may wait, so that several epochs go in one call.
INTERVAL_S = 2.0
#: The thread rests this many times as long as it has worked: tracking takes no more than a hundredth of the time.
_REST = 100
#: How long to rest at most, and to wait after failures; that wait doubles from one to the next.
_LONGEST_WAIT_S = 60.0


class Note(NamedTuple):
    """A trial that has news, the state to show, and tags of its run."""

    trial: PlannedTrial
    state: str
    reason: str
    tags: Mapping[str, str]


class Outbox:
    """Sends notes one after the other, and again if need be, in a thread that ends when there are none.

    Attributes
    ----------
    problem
        Why the last note could not be sent; empty where it was.
    seconds
        How long sending has taken so far.
    """

    def __init__(self, write: Callable[[Note], None], interval_s: float = INTERVAL_S) -> None:
        self._write = write
        self._interval_s = self._wait_s = interval_s
        self._notes: dict[str, Note] = {}
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self.problem = ""
        self.seconds = 0.0

    def post(self, note: Note) -> None:
        """Note that a trial has news; returns at once."""
        with self._guard:
            earlier = self._notes.get(note.trial.fingerprint)
            self._notes[note.trial.fingerprint] = _merge(earlier, note)
            if self._thread is None:
                self._hurry.clear()
                self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
                self._thread.start()

    def drain(self) -> None:
        """Send everything that waits, now.

        Raises
        ------
        Exception
            What sending raises; what could not be sent still waits.
        """
        self._hurry.set()
        thread = self._thread
        if thread is not None:
            thread.join()
        self._send_all()

    def _run(self) -> None:
        while not self._hurry.wait(self._wait_s):
            worked = self.seconds
            try:
                self._send_all()
                wait_s = max(self._interval_s, _REST * (self.seconds - worked))
            except Exception as error:  # nobody else hears of it, and the next attempt may succeed
                self.problem = str(error) or type(error).__name__
                wait_s = 2 * self._wait_s
            self._wait_s = min(wait_s, _LONGEST_WAIT_S)
            with self._guard:
                if not self._notes:
                    self._thread = None
                    return
        with self._guard:
            self._thread = None

    def _send_all(self) -> None:
        with self._writing:
            started = time.perf_counter()
            try:
                while (note := self._take()) is not None:
                    self._send(note)
                self.problem = ""
            finally:
                self.seconds += time.perf_counter() - started

    def _take(self) -> Note | None:
        with self._guard:
            return self._notes.pop(next(iter(self._notes))) if self._notes else None

    def _send(self, note: Note) -> None:
        sent = False
        try:
            self._write(note)
            sent = True
        finally:
            if not sent:
                with self._guard:
                    later = self._notes.get(note.trial.fingerprint)
                    self._notes[note.trial.fingerprint] = note if later is None else _merge(note, later)


def _merge(earlier: Note | None, later: Note) -> Note:
    """Return one note for two: the later state, the tags of both."""
    return later if earlier is None else later._replace(tags={**earlier.tags, **later.tags})
