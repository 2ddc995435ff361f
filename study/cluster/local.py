"""Ray on this machine, which starts while the command still imports, reads and checks."""

import gc
import logging
import threading
from typing import Any, Self

from study.cluster.signals import HeldCtrlC

#: What Ray is told wherever it is used: to keep quiet.
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


#: A process has one Ray: the next one starts when the last one has stopped.
_ONE = threading.Lock()


class LocalRay:
    """Ray on this machine alone, for the time of a context; starts at once, in a thread.

    A Ray that is starting cannot be stopped, so Ctrl-C is kept back until somebody waits for it, or the context ends.

    Parameters
    ----------
    shared_bytes
        Size of the frames that all workers share; Ray's object store is made large enough for them.
    """

    def __init__(self, shared_bytes: int) -> None:
        self._store_bytes = 2 * shared_bytes + 256 * 1024**2
        self._error: Exception | None = None
        self._is_used = False
        self._tried, self._over = threading.Event(), threading.Event()
        self._ctrl_c = HeldCtrlC("stopping as soon as Ray has started, within seconds")
        # Linux ends Ray's processes together with the thread that has started them: it stays.
        self._thread = threading.Thread(target=self._keep, name="local Ray")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        # Where nobody has waited for Ray, nobody waits for its end either, except this process with its own.
        if self._is_used:
            self._thread.join()
        if self._ctrl_c.release() and error == (None, None, None):
            raise KeyboardInterrupt

    def wait(self) -> None:
        """Return once Ray runs; raise what it could not be started for, or KeyboardInterrupt if Ctrl-C came."""
        self._is_used = True
        self._tried.wait()
        if self._ctrl_c.release():
            raise KeyboardInterrupt
        if self._error is not None:
            raise self._error

    def _keep(self) -> None:
        with _ONE:
            try:
                import ray

                ray.init(address="local", include_dashboard=False, object_store_memory=self._store_bytes, **QUIET)
            except Exception as error:  # raised again where somebody waits for Ray
                self._error = error
            self._tried.set()
            self._over.wait()
            disconnect()


def disconnect() -> None:
    """Leave Ray without the process being ended.

    Ray ends a process without a word when a reference to one of its objects is freed while it shuts
    down. Tune leaves such references in cycles, and the garbage collector frees them in whatever thread
    it happens to run: so they are freed before, and nothing is collected meanwhile.
    """
    import ray

    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        if collecting:
            gc.enable()
