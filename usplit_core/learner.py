"""One optimiser step: network, Adamax, learning rate on a plateau, precision, gradient clip, non-finite guard.

The schedule is the authors' (docs/method.md, Training).
"""

import hashlib
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from usplit_core.config import RunConfig, TrainConfig
from usplit_core.data.sampling import Batch
from usplit_core.errors import UserError
from usplit_core.models import Network, build, use_fast_memory_order
from usplit_core.models.noise_model import NoiseModel
from usplit_core.objective import Loss, compute_loss
from usplit_core.optimiser import Adamax, Plateau
from usplit_core.precision import full_float32

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Learner(NamedTuple):
    """A network and all that changes it."""

    module: Network
    optimiser: Adamax
    plateau: Plateau
    scaler: torch.amp.GradScaler
    device: torch.device

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return self.optimiser.learning_rate


def check_device(device: torch.device | str, train: TrainConfig) -> torch.device:
    """Return the device, which exists and can compute in the precision asked for.

    Raises
    ------
    UserError
        If it does not, with what to set instead.
    """
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device = {device!r} is no device of torch: use 'cpu', 'cuda' or 'cuda:NUMBER'") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device = '{device}': training is defined on 'cpu' and 'cuda'; use one of them")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device = '{device}': torch sees {torch.cuda.device_count()} GPUs on this machine; "
            "use the device 'cpu', or a lower number"
        )
    if train.precision == "float16" and device.type != "cuda":
        raise UserError(
            f"train.precision = 'float16' is for GPUs, and the device is {device}: "
            "set train.precision to bfloat16 or float32"
        )
    if train.precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise UserError(
            f"train.precision = 'bfloat16': {torch.cuda.get_device_name(device)} cannot compute in it; "
            "set train.precision to float16 or float32"
        )
    return device


def draw_from(device: torch.device, *key: int) -> None:
    """Make the random numbers that follow on CPU and `device` a pure function of `key`."""
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    # Not torch.manual_seed, which looks for every kind of device and costs as much as a small step.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def own_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which drawing random numbers leaves the caller's as they were."""
    if device.type != "cuda":
        return torch.random.fork_rng(devices=[])
    with torch.cuda.device(device):
        index = torch.cuda.current_device()
    return torch.random.fork_rng(devices=[index], device_type="cuda")


def build_learner(run: RunConfig, device: torch.device) -> Learner:
    """Return an untrained network, its weights drawn from ``train.seed``, and its optimiser.

    Changes the state of torch's random numbers.
    """
    train = run.train
    module = build(run.model)
    draw_weights(module, train.seed)
    module.to(device)
    use_fast_memory_order(module, half_precision=train.precision != "float32")
    optimiser = Adamax(module.parameters(), train.learning_rate)
    plateau = Plateau(
        optimiser,
        factor=train.plateau_factor,
        patience=train.plateau_patience,
        smallest_rate=train.min_learning_rate,
    )
    scaler = torch.amp.GradScaler(device.type, enabled=train.precision == "float16")
    return Learner(module, optimiser, plateau, scaler, device)


def draw_weights(module: nn.Module, seed: int) -> None:
    """Draw the weights of every layer from the seed and the layer's own name, in torch's default distribution.

    Two networks that differ in some layers begin with equal weights in all others, so that replicates
    of one seed can be compared in pairs across the levels of a factor (common random numbers).
    """
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)):
            digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
            torch.default_generator.manual_seed(int.from_bytes(digest, "big") >> 1)
            layer.reset_parameters()


def schedule_state(learner: Learner) -> dict[str, Any]:
    """Return what plateau schedule and loss scaling remember, JSON-able, once an epoch has ended."""
    plateau = {"best": learner.plateau.best, "num_bad_epochs": learner.plateau.waited}
    return {"plateau": plateau, "scaler": learner.scaler.state_dict()}


def restore_schedule(learner: Learner, state: Mapping[str, Any]) -> None:
    """Bring back what `schedule_state` returned."""
    learner.plateau.best, learner.plateau.waited = state["plateau"]["best"], state["plateau"]["num_bad_epochs"]
    learner.scaler.load_state_dict(state["scaler"])


def autocast(run: RunConfig, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which the network computes in the precision of the run."""
    dtype = _DTYPES[run.train.precision]
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


def take_step(
    learner: Learner, batch: Batch, run: RunConfig, *, epoch: int, noise_model: NoiseModel | None = None
) -> dict[str, float] | None:
    """Take one optimiser step on `batch` and return its metrics; None where loss or gradient was not finite.

    A step that was not finite leaves weights and batch statistics as they were.

    Parameters
    ----------
    learner
        Changed in place.
    batch
        Input (B, L, P, P) and target (B, C, P, P), normalised.
    run
        Objective and precision.
    epoch
        Complete epochs before this one, for KL annealing.
    noise_model
        In units of the target, on the device; where the run asks for one.
    """
    module, scaler = learner.module, learner.scaler
    optimiser: Any = learner.optimiser  # of torch's optimisers, the scaler wants parameter groups and a step alone
    statistics_before = [buffer.clone() for buffer in module.buffers()]
    optimiser.zero_grad()
    with full_float32(learner.device):
        with autocast(run, learner.device):
            prediction = module(batch.input)
        loss = compute_loss(prediction, batch.target, run, epoch=epoch, noise_model=noise_model)
        torch.autograd.backward(scaler.scale(loss.loss))
    scaler.unscale_(optimiser)
    norm = nn.utils.get_total_norm([weight.grad for weight in module.parameters() if weight.grad is not None])

    metrics = _summarise(loss, norm)
    finite = all(map(math.isfinite, metrics.values()))
    if finite:
        _clip(module, norm, run.train)
        scaler.step(optimiser)
    else:
        _restore(module, statistics_before)
    scaler.update()
    return metrics if finite else None


def _summarise(loss: Loss, norm: Tensor) -> dict[str, float]:
    named = {
        "train/loss": loss.loss,
        "train/gradient_norm": norm,
        "train/reconstruction": loss.reconstruction.mean(),
        **{f"train/reconstruction/{channel}": value for channel, value in enumerate(loss.reconstruction)},
    }
    if len(loss.kl_per_level):
        named["train/kl"] = loss.kl
        named |= {f"train/kl/{level}": value for level, value in enumerate(loss.kl_per_level)}
    # One transfer for all: each of them would wait for the device.
    values: list[float] = torch.stack([value.detach().float() for value in named.values()]).tolist()
    return dict(zip(named, values, strict=True))


def _clip(module: nn.Module, norm: Tensor, train: TrainConfig) -> None:
    if train.gradient_clip is None:
        return
    if train.gradient_clip_by == "value":
        nn.utils.clip_grad_value_(module.parameters(), train.gradient_clip)
    else:
        nn.utils.clip_grads_with_norm_(module.parameters(), train.gradient_clip, norm)


def _restore(module: nn.Module, buffers: list[Tensor]) -> None:
    """Undo what a forward pass did to batch statistics: one overflow in them would stay for ever."""
    for buffer, before in zip(module.buffers(), buffers, strict=True):
        buffer.copy_(before)
