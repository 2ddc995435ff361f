"""Something that is done again and again beside a training, in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def repeated(work: Callable[[], None], interval_s: float) -> Iterator[None]:
    """Call `work` every `interval_s` seconds while the context lasts.

    What cannot be written is left out: storage that fails for a while must neither end this nor the trial.
    """
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(interval_s):
            with suppress(OSError):
                work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
