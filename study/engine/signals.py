"""How a study is told from outside to end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
