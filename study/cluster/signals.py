"""How a study is told from outside to end."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_STANDARD_ERROR = 2


@contextmanager
def ended_like_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does while the block runs: batch systems send it before they take a machine away.

    Ray would end the process where it stands, with runs left open. Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class HeldCtrlC:
    """Keeps Ctrl-C back from now on, until `release`.

    Python raises KeyboardInterrupt wherever the main thread stands. In the middle of an import this leaves the
    lock of a module taken, and another thread that imports the same module waits for ever; in a callback of
    the garbage collector it is lost. Outside the main thread, which no signal interrupts, nothing is kept back.

    Parameters
    ----------
    notice
        What is said at the first Ctrl-C.
    """

    def __init__(self, notice: str) -> None:
        self._notice = notice
        self._came = False
        self._is_held = threading.current_thread() is threading.main_thread()
        if self._is_held:
            self._before = signal.signal(signal.SIGINT, self._note)

    def release(self) -> bool:
        """Let Ctrl-C through again; return whether it came meanwhile, which is told once."""
        if self._is_held:
            signal.signal(signal.SIGINT, self._before)
            self._is_held = False
        came, self._came = self._came, False
        return came

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._came:
            with suppress(OSError):  # not by sys.stderr, which this may have interrupted
                os.write(_STANDARD_ERROR, f"\n{self._notice}\n".encode())
        self._came = True
