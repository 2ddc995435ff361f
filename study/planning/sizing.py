"""What a trial needs of a machine, and whether a machine has it."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from study.engine.slots import gpu_part
from study.planning.cache import Key, recall, remember, user_cache
from study.planning.datasets import Dataset
from study.planning.forecast import Rate
from study.planning.machine import Machine
from study.planning.workload import PartShapes, data_bytes
from study.spec import Resources
from usplit_core import __version__
from usplit_core.config import RunConfig
from usplit_core.cost import Cost, cost_key, estimate, training_bytes

#: A process with its libraries; on a GPU, its context and the working memory of convolutions.
_PROCESS_BYTES = 500_000_000
_CONTEXT_BYTES = 1_500_000_000

_REMEDY = "lower train.batch_size, model.patch_px or model.filters"


class Size(NamedTuple):
    """What one trial needs; None where it has not been worked out."""

    cost: Cost | None
    network_bytes: int | None
    """State and one step at its peak: calculated, or measured on this device."""
    resident_bytes: int
    """Process, or GPU context and the images on the GPU."""
    shared_bytes: int
    """Images in memory, of which all trials of a machine have one copy; images that are mapped from files need none."""
    on_gpu: bool
    gpu_bytes: int
    problem: str
    """Why it does not fit; empty if it does."""

    @property
    def total_bytes(self) -> int | None:
        """Network, images and libraries together."""
        own = self.own_bytes
        return None if own is None else own + self.shared_bytes

    @property
    def own_bytes(self) -> int | None:
        """What each further trial needs on the same machine, or on the same GPU."""
        return None if self.network_bytes is None else self.network_bytes + self.resident_bytes

    def gpus(self, resources: Resources) -> float:
        """Return the GPUs that the trial occupies; 0 on a CPU."""
        if not self.on_gpu:
            return 0.0
        if resources.gpus is not None:
            return resources.gpus
        return 1.0 if self.total_bytes is None else gpu_part(self.total_bytes, self.gpu_bytes)


def costs_of(runs: Iterable[RunConfig], *, seconds: float = 60.0) -> dict[RunConfig, Cost | None]:
    """Return the cost of each network by its `cost_key`, remembered from plan to plan.

    Parameters
    ----------
    runs
        One or more for each network.
    seconds
        After this time the networks that are left are not worked out: the next call goes on with them.
    """
    end = time.monotonic() + seconds
    costs: dict[RunConfig, Cost | None] = {}
    for run in runs:
        key = cost_key(run)
        if costs.get(key) is None:
            costs[key] = _remembered(key) or (_work_out(key) if time.monotonic() < end else None)
    return costs


def _remembered(network: RunConfig) -> Cost | None:
    found = recall(user_cache() / "costs", _key(network))
    try:
        return Cost(**{name: int(value) for name, value in found.items()}) if isinstance(found, dict) else None
    except (TypeError, ValueError):
        return None


def _work_out(network: RunConfig) -> Cost:
    cost = estimate(network)
    remember(user_cache() / "costs", _key(network), cost._asdict())
    return cost


def _key(network: RunConfig) -> Key:
    return {"network": network.model_dump(mode="json"), "version": __version__}


def size_of(
    run: RunConfig, cost: Cost | None, *, parts: PartShapes, dataset: Dataset, rate: Rate, machine: Machine
) -> Size:
    """Return what a trial of `run` needs on a GPU of the machine, where it has any, else in its memory."""
    on_gpu = rate.device == "cuda"
    network = None if cost is None else training_bytes(run, cost)
    if rate.measurement is not None and rate.measurement.peak_bytes is not None:
        network = rate.measurement.peak_bytes
    images = 0 if dataset.is_mapped else data_bytes(run, parts, np.dtype(dataset.outline.dtype).itemsize)
    resident, shared = (_CONTEXT_BYTES + images, 0) if on_gpu else (_PROCESS_BYTES, images)
    size = Size(cost, network, resident, shared, on_gpu, machine.gpu_bytes, "")
    if rate.measurement is not None and rate.measurement.problem:
        return size._replace(problem=f"could not be measured ({rate.measurement.problem}): {_REMEDY}")
    room, where = (machine.gpu_bytes, "the GPU") if on_gpu else (machine.memory_bytes, "this machine")
    if size.total_bytes is not None and size.total_bytes > room:
        return size._replace(
            problem=f"needs about {size.total_bytes / 1e9:.3g} GB, and {where} has {room / 1e9:.3g} GB: {_REMEDY}"
        )
    return size
