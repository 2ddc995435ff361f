"""Networks: build one from its config; every network returns a `Prediction`."""

from collections.abc import Callable

from usplit_core.config import Architecture, ModelConfig
from usplit_core.models.bravenet import BraveNet
from usplit_core.models.hvae import LadderVAE
from usplit_core.models.neighbours import InputRow
from usplit_core.models.network import Network, Prediction, use_fast_memory_order
from usplit_core.models.unet import UNet

__all__ = ["InputRow", "Network", "Prediction", "build", "use_fast_memory_order"]

_NETWORKS: dict[Architecture, Callable[[ModelConfig], Network]] = {
    "hvae": LadderVAE,
    "hae": LadderVAE,
    "unet": UNet,
    "bravenet": BraveNet,
}


def build(config: ModelConfig) -> Network:
    """Return a freshly initialised network, on the default device."""
    return _NETWORKS[config.architecture](config)
