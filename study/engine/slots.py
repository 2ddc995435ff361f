"""What each trial occupies on the connected cluster, and how many trials run at a time."""

from collections.abc import Callable
from functools import cache
from typing import Any

from study.cluster.connection import gpus_per_trial
from study.spec import Resources
from usplit_core.config import RunConfig
from usplit_core.cost import training_bytes

#: GPUs are shared in such parts, so that a handful of sizes fills them without gaps.
_PARTS = 8
#: What the CUDA context and the convolution workspaces of a process take besides what is calculated.
_CONTEXT_BYTES = 1.5e9


class Slots:
    """Decides over CPUs and GPUs of trials; asks the cluster anew, since nodes come and go.

    Parameters
    ----------
    resources
        As the study says.
    data_bytes
        Gives the size of the frames that a run keeps on its device.
    """

    def __init__(self, resources: Resources, data_bytes: Callable[[RunConfig], int]) -> None:
        self._resources = resources
        self._data_bytes = data_bytes
        self._has_gpus = gpus_per_trial(resources) > 0
        self._gpu_bytes = smallest_gpu_bytes() if self._has_gpus and resources.gpus is None else None
        self._usual_gpus = 1.0 if self._has_gpus else 0.0

    def request(self, run: RunConfig, *, alone: bool) -> tuple[int, float]:
        """Return the CPUs and GPUs of a trial.

        Parameters
        ----------
        run
            What it trains.
        alone
            Whether it ran out of memory beside others: it gets a whole GPU, or all cores of a node.
        """
        cpus, gpus = self._resources.cpus, self._gpus(run)
        if not alone:
            self._usual_gpus = gpus
            return cpus, gpus
        return (cpus, max(1.0, gpus)) if self._has_gpus else (self._largest_node_cpus(), 0.0)

    def _gpus(self, run: RunConfig) -> float:
        if not self._has_gpus:
            return 0.0
        if self._resources.gpus is not None:
            return self._resources.gpus
        if self._gpu_bytes is None:
            return 1.0
        return gpu_part(training_bytes(run) + self._data_bytes(run) + _CONTEXT_BYTES, self._gpu_bytes)

    def count(self) -> int:
        """Return how many trials the cluster runs at a time, by the CPUs and GPUs of the last one."""
        return max(1, sum(self._fitting(node) for node in _nodes()))

    def _fitting(self, node: dict[str, float]) -> int:
        by_cpus = int(node.get("CPU", 0) // self._resources.cpus)
        return min(by_cpus, int(node.get("GPU", 0) / self._usual_gpus)) if self._usual_gpus else by_cpus

    def _largest_node_cpus(self) -> int:
        return max(self._resources.cpus, *(int(node.get("CPU", 0)) for node in _nodes()))


def gpu_part(bytes_needed: float, gpu_bytes: float) -> float:
    """Return the part of a GPU that a trial needs: eighths, and the whole from seven of them on."""
    parts = -int(-bytes_needed * _PARTS // gpu_bytes)
    return 1.0 if parts >= _PARTS - 1 else max(1, parts) / _PARTS


def _nodes() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call] # Ray's gap


@cache
def smallest_gpu_bytes() -> float | None:
    """Return the memory of the smallest GPU of the connected cluster; None where torch sees none of Ray's GPUs."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def measure() -> float | None:
        import torch

        return float(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else None

    task: Any = ray.remote(measure)
    found = []
    for node in ray.nodes():  # type: ignore[no-untyped-call] # Ray's gap
        if node["Alive"] and node["Resources"].get("GPU", 0):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            found.append(task.options(num_cpus=0, num_gpus=0.01, scheduling_strategy=there).remote())
    sizes = [size for size in ray.get(found) if size is not None]
    return min(sizes, default=None)
