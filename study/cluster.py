"""Ray on this machine or at an address, and what it offers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from study.errors import ResourceError
from study.spec import Resources


@contextmanager
def connected(address: str | None, *, shared_bytes: int) -> Iterator[None]:
    """Connect to Ray for the time of a block; without an address, start it on this machine and stop it after.

    Parameters
    ----------
    address
        ``HOST:PORT`` or ``auto`` for a running cluster; None for this machine alone.
    shared_bytes
        Size of the frames that all workers share; a local object store is made large enough for them.

    Raises
    ------
    ResourceError
        If nothing answers at `address`.
    """
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        if address is None:
            store_bytes = 2 * shared_bytes + 256 * 1024**2
            ray.init(address="local", include_dashboard=False, object_store_memory=store_bytes, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError) as error:
        raise ResourceError(
            f"no Ray cluster answers at {address!r} ({error}): start one, or leave --address out"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


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
