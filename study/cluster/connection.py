"""Ray on this machine or at an address, and what it offers."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from study.cluster.local import QUIET, LocalRay, disconnect
from study.errors import ResourceError
from study.spec import Resources

_ANSWER_S = 5.0
#: The head is asked whether it is there at this interval, and counts as lost after so long a silence.
_BETWEEN_QUESTIONS_S = 5.0
_SILENCE_S = 20.0
#: So long may it take to leave such a cluster in good order; then the process is ended.
_GRACE_S = 15.0
#: Exit code of a process that is ended then.
_LOST = 2


class ClusterLost(ResourceError):
    """The head node of the cluster is gone, and with it all that Ray knew."""


@contextmanager
def connected(address: str | None, *, shared_bytes: int, local: LocalRay | None = None) -> Iterator[Callable[[], None]]:
    """Connect to Ray for the time of a block; without an address, start it on this machine and stop it after.

    Parameters
    ----------
    address
        ``HOST:PORT`` or ``auto`` for a running cluster; None for this machine alone.
    shared_bytes
        Size of the frames that all workers share; a local object store is made large enough for them.
    local
        Ray on this machine that is starting already, for no address.

    Yields
    ------
    A function to be called now and then, which raises `ClusterLost` once the head has been silent for long; on this
    machine it never does.

    Raises
    ------
    ResourceError
        If nothing answers at `address`, or what answers does not let this process in.
    ClusterLost
        If the head is gone when the block fails.
    """
    if address is None:
        with LocalRay(shared_bytes) if local is None else local as started:
            started.wait()
            yield lambda: None
        return
    import ray

    _check_address(address)
    _use_token()
    try:
        ray.init(address=address, **QUIET)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        raise ResourceError(_refusal(address, error)) from None
    head = _Head(ray.get_runtime_context().gcs_address)
    try:
        yield head.check
    except Exception:  # raised again, unless the head is lost, which is then what it came from
        head.check_now()
        raise
    finally:
        disconnect()
        head.stop()


class _Head:
    """Watches the head node of a cluster."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._lost = ""
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="head node", daemon=True).start()

    def check(self) -> None:
        """Raise `ClusterLost` if nothing has listened at the address for some time."""
        if self._lost:
            raise ClusterLost(self._lost)

    def check_now(self) -> None:
        """Raise `ClusterLost` if nothing listens at the address at this moment."""
        silence = self._silence()
        if silence:
            raise ClusterLost(silence)

    def stop(self) -> None:
        """Watch no longer."""
        self._over.set()

    def _watch(self) -> None:
        answered = time.monotonic()
        while not self._lost and not self._over.wait(_BETWEEN_QUESTIONS_S):
            silence, now = self._silence(), time.monotonic()
            answered = answered if silence else now
            if now - answered >= _SILENCE_S:
                self._lost = silence
        if not self._over.wait(_GRACE_S):
            # Whoever calls Ray now waits in there, and is ended by it without a word after a minute.
            sys.stderr.write(f"error: {self._lost}\n")
            sys.stderr.flush()
            os._exit(_LOST)

    def _silence(self) -> str:
        """Return what to say of a head where nothing listens; empty if it answers."""
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
        except OSError as error:
            return (
                f"the head node of the cluster, {self._address}, is lost ({error}): start Ray again, and give the same "
                "command with the new --address; what has been computed is kept, and trials go on from their last "
                "checkpoints"
            )
        return ""


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens: Ray would wait there for many minutes without a word."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ResourceError(f"--address {address}: give HOST:PORT, as `ray start --head` printed it, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise ResourceError(
            f"--address {address}: nothing listens there ({error}): start Ray with "
            f"`ray start --head --port={port}` on that host, or leave --address out to use this machine"
        ) from None


def token_place() -> str:
    """Return where Ray's token of this user comes from, empty if there is none."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        if os.environ.get(name):
            return name
    path = Path.home() / ".ray" / "auth_token"
    return str(path) if path.exists() else ""


def _use_token() -> None:
    """Show the token where there is one, unless the user decides otherwise.

    Ray 2.60 asks for it at a head that was started beside one, but shows it only where RAY_AUTH_MODE
    says so. Nodes without token are refused by `study.cluster.nodes`.
    """
    if "RAY_AUTH_MODE" in os.environ or not token_place():
        return
    from ray._raylet import Config  # type: ignore[attr-defined] # Ray's stub lacks it

    os.environ["RAY_AUTH_MODE"] = "token"
    # Ray reads its environment once, when it is imported.
    Config.initialize("")


def _refusal(address: str, error: Exception) -> str:
    """Return why Ray did not let this process in, and what to do."""
    first = str(error).strip().partition("\n")[0]
    if "ersion mismatch" in str(error):
        return f"--address {address}: the cluster runs other versions ({' '.join(str(error).split())})"
    if address == "auto":
        return f"--address auto: no Ray cluster runs on this machine ({first}): give HOST:PORT, or run `ray start` here"
    place = token_place() or "none"
    mode = os.environ.get("RAY_AUTH_MODE", "not set")
    return (
        f"--address {address}: something listens there, but does not let this command in ({first}). The usual reason "
        f"is Ray's token (RAY_AUTH_MODE here: {mode}; token: {place}): copy ~/.ray/auth_token of the head to this "
        "machine and to every node, and set RAY_AUTH_MODE=token on all of them, see docs/security.md"
    )


def gpus_per_trial(resources: Resources) -> float:
    """Return how many GPUs each trial gets on the connected cluster.

    Raises
    ------
    ResourceError
        If no node has what a trial asks for; Ray would wait for such a node without a word.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call] # Ray's gap
    gpus = resources.gpus
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0) for node in nodes) else 0.0
    if not any(node.get("CPU", 0) >= resources.cpus and node.get("GPU", 0) >= gpus for node in nodes):
        largest = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise ResourceError(
            f"a trial asks for {resources.cpus} CPUs and {gpus:g} GPUs, but the nodes have {largest}: lower resources"
        )
    return gpus
