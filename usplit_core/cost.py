"""What a run costs: before it is run, from the network's shapes alone, and after, as it was measured.

`estimate` builds the network on torch's meta device, where tensors have a shape but no numbers:
it takes about a second and next to no memory, whatever the size of the network.
"""

import resource
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode

from usplit_core.config import DataConfig, RunConfig, TilingConfig, TrainConfig
from usplit_core.models import build
from usplit_core.models.noise_model import NoiseModel, noise_model_of
from usplit_core.objective import compute_loss

#: Adamax keeps two numbers for each parameter, beside the parameter and its gradient.
_COPIES_IN_TRAINING = 4
_BYTES_OF_FLOAT32 = 4
#: A backward pass computes the gradient of the input and of the weights: twice the forward pass.
_PASSES_OF_A_STEP = 3
# Batch statistics need more than one value a channel, which deep networks have from two patches on.
_PATCHES = 2
#: Share of the float32 activations that autocast keeps, as measured.
_KEPT = {"float32": 1.0, "bfloat16": 0.75, "float16": 0.75}
#: Gradients on their way and the working memory of convolutions, as a share of what is kept, as measured.
_WORKING_SHARE = 0.65


class Cost(NamedTuple):
    """What one run needs, by calculation; FLOPs count a multiplication and an addition as two."""

    parameters: int
    forward_flops_per_patch: int
    """Of convolutions and matrix products."""
    step_flops: int
    """Forward and backward pass of one batch."""
    state_bytes: int
    """Parameters, their gradients and the optimiser's numbers."""
    activation_bytes_per_step: int
    """What the forward pass of one batch keeps for the backward pass. An estimate: autocast
    and the memory that convolutions work in are not counted."""


def estimate(run: RunConfig) -> Cost:
    """Return what a run will need, without running it; known at once for a network that was asked for before.

    Raises
    ------
    ConfigError
        If the network cannot be built.
    CheckpointError
        If the run asks for a noise model that cannot be used.
    """
    parameters, flops, activation_bytes = _trace_network(cost_key(run).model_copy(update={"train": TrainConfig()}))
    batch_size = run.train.batch_size
    return Cost(
        parameters=parameters,
        forward_flops_per_patch=flops // _PATCHES,
        step_flops=_PASSES_OF_A_STEP * flops // _PATCHES * batch_size,
        state_bytes=_COPIES_IN_TRAINING * _BYTES_OF_FLOAT32 * parameters,
        activation_bytes_per_step=activation_bytes * batch_size // _PATCHES,
    )


def training_bytes(run: RunConfig, cost: Cost | None = None) -> int:
    """Return how much memory the network of a run takes in training: its state, and a step at its peak.

    Images, and the libraries in a process, come on top. Peaks that were measured on a CPU, of HVAEs and U-Nets
    in both precisions, lie within a fifth of it.

    Parameters
    ----------
    run
        Its network, batch size and precision count.
    cost
        What `estimate` returned for it, where that is known.

    Raises
    ------
    UserError
        As `estimate`.
    """
    cost = cost or estimate(run)
    kept = cost.activation_bytes_per_step * _KEPT[run.train.precision]
    return int(cost.state_bytes + kept * (1 + _WORKING_SHARE))


def cost_key(run: RunConfig) -> RunConfig:
    """Return the run that stands for all that take as long and as much memory a step as `run`.

    Settings that change numbers, but no shape, have one value in it.
    """
    model, objective = run.model, run.objective
    return RunConfig(
        data=DataConfig(path="", channels=tuple(range(model.structure_channels))),
        model=model.model_copy(update={"dropout": 0.1 if model.dropout else 0.0, "min_log_variance": -5.0}),
        objective=objective.model_copy(
            update={"kl_weight": 1.0, "free_bits": 1.0 if objective.free_bits else 0.0, "kl_annealing_epochs": None}
        ),
        train=TrainConfig(batch_size=run.train.batch_size, precision=run.train.precision),
        tiling=TilingConfig(padding_px=0),
    )


@lru_cache(maxsize=1024)
def _trace_network(run: RunConfig) -> tuple[int, int, int]:
    """Return parameters, and FLOPs and kept bytes of a forward pass of `_PATCHES` patches."""
    noise_model = noise_model_of(run)
    if noise_model is not None:
        noise_model = NoiseModel(*(tensor.to("meta") for tensor in noise_model))
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        module = build(run.model)
        size = run.model.patch_px
        patches = torch.empty(_PATCHES, run.model.context_levels, size, size)  # (B, L, Y, X)
        flops, activation_bytes = _trace(module, patches, run, noise_model)
    return sum(parameter.numel() for parameter in module.parameters()), flops, activation_bytes


def _trace(module: nn.Module, patches: Tensor, run: RunConfig, noise_model: NoiseModel | None) -> tuple[int, int]:
    """Return the FLOPs of a forward pass and the bytes that it keeps for the backward pass."""
    kept: dict[StorageWeakRef, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[_memory(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with (
        FlopCounterMode(display=False) as counter,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        prediction = module(patches)
        target = torch.empty_like(prediction.mean)  # (B, C, P, P)
        compute_loss(prediction, target, run, noise_model=noise_model)
    weights = {_memory(parameter) for parameter in module.parameters()}
    return counter.get_total_flops(), sum(size for memory, size in kept.items() if memory not in weights)


def _memory(tensor: Tensor) -> StorageWeakRef:
    """Return what tells the memory of one tensor from that of another; views of one tensor share it."""
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # torch states no types here


def reset_peak_memory(device: torch.device) -> None:
    """Start to measure peak memory afresh, where the system allows it: a process may run several trainings."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        # Not Linux, or not allowed: the peak then includes what ran before in this process.
        return


def measure_cost(module: nn.Module, device: torch.device, train_seconds: float) -> dict[str, float]:
    """Return the cost metrics of a training.

    Parameters
    ----------
    module
        The network.
    device
        Where it was trained.
    train_seconds
        How long training and validation took.

    Returns
    -------
    Values by the keys of the vocabulary. The peak of host memory is that of the process since
    `reset_peak_memory`, its data and libraries included; the peak of device memory exists for GPUs only.
    """
    cost = {
        "cost/parameters": float(sum(parameter.numel() for parameter in module.parameters())),
        "cost/train_seconds": train_seconds,
        "cost/peak_host_bytes": float(_peak_host_bytes()),
    }
    if device.type == "cuda":
        cost["cost/peak_device_bytes"] = float(torch.cuda.max_memory_allocated(device))
    return cost


def _peak_host_bytes() -> int:
    """Return the largest resident memory of this process."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text("ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
