"""Small networks and reference arrays for the tests of this folder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from usplit_core.config import ModelConfig
from usplit_core.models import Network, build

REFERENCE = Path(__file__).resolve().parents[2] / "reference"


def model_config(architecture: str, variant: str, **settings: Any) -> ModelConfig:
    """Return the config of a network of 4 filters without dropout, unless `settings` say otherwise."""
    tiny = {"architecture": architecture, "variant": variant, "filters": 4, "latent_channels": 4, "dropout": 0.0}
    return ModelConfig.model_validate({**tiny, **settings})


def network(architecture: str, variant: str, **settings: Any) -> Network:
    """Return a network of 4 filters without dropout, with the same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(model_config(architecture, variant, **settings))


def in_memory_order(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    """Return `module` with its weights in the memory order `layout`."""
    return module.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]  # torch's stubs miss it


def image(*shape: int) -> Tensor:
    """Return the same noise at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def reference(name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays that the authors' implementation computed."""
    with np.load(REFERENCE / f"{name}.npz") as arrays:
        return dict(arrays)


def tensors(arrays: dict[str, NDArray[Any]], prefix: str) -> list[Tensor]:
    """Return the arrays ``prefix/0``, ``prefix/1``, …, float32."""
    count = sum(name.startswith(f"{prefix}/") for name in arrays)
    return [torch.from_numpy(arrays[f"{prefix}/{i}"]).float() for i in range(count)]
