"""BraveNet: a U-Net with an encoder of its own for the context input, and auxiliary heads.

Source: docs/method.md, Networks; "juglab/uSplit usplit/nets/brave_net_raw.py", the two-dimensional
form of BRAVE-NET. Regular has two encoders, of the patch and of context input 1; vanilla has one.
`depth` counts the levels of the encoder, so the map is halved depth - 1 times.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from usplit_core.config import ModelConfig
from usplit_core.models.layers import without_margin
from usplit_core.models.neighbours import InputRow
from usplit_core.models.network import Network, Prediction, check_input


class Encoder(nn.Module):
    """Batch norm of one input, then a pair of convolutions a level, with max-pooling between levels."""

    def __init__(self, channels: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        inputs = (1, *channels[:-1])
        self.levels = nn.ModuleList(_conv_pair(*pair, dropout) for pair in zip(inputs, channels, strict=True))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the map of each level, (B, F, Y / 2^i, X / 2^i), from an image (B, 1, Y, X)."""
        x = self.norm(image)
        maps: list[Tensor] = []
        for level in self.levels:
            x = level(functional.max_pool2d(maps[-1], 2) if maps else x)
            maps.append(x)
        return maps


class BraveNet(Network):
    """BraveNet of either variant; see the module."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        channels = [config.filters << level for level in range(config.depth)]
        encoders = config.context_levels
        self.encoders = nn.ModuleList(Encoder(channels, config.dropout) for _ in range(encoders))
        bottom = channels[-1]
        self.bottom_merge = nn.Sequential(
            nn.Conv2d(encoders * bottom, bottom, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(bottom, bottom, kernel_size=1),
            nn.ReLU(inplace=True),
        )
        self.up = nn.ModuleList(
            _conv_pair(channels[level + 1] + encoders * channels[level], channels[level], config.dropout)
            for level in reversed(range(config.depth - 1))
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Conv2d(channels[0], config.structure_channels, kernel_size=1)
        self.auxiliary_heads = nn.ModuleList(
            nn.Conv2d(channels[level], config.structure_channels, kernel_size=1)
            for level in reversed(range(1, config.depth - 1))
        )

    def encode(
        self, input: Tensor, *, margin_px: int | None = None, rows: Sequence[InputRow] = ()
    ) -> tuple[Tensor, ...]:
        """Return the map of each level, that of both encoders concatenated; see `Network.encode`."""
        check_input(input, self.config)
        maps = [encoder(input[:, index : index + 1]) for index, encoder in enumerate(self.encoders)]
        return tuple(torch.cat(level, dim=1) for level in zip(*maps, strict=True))

    def decode(
        self,
        maps: Sequence[Tensor],
        *,
        latents: Sequence[Tensor] | None = None,
        with_kl: bool = True,
        margin_px: int = 0,
    ) -> Prediction:
        """Predict the structure channels; in training also from the coarser maps; see `Network.decode`."""
        x = self.bottom_merge(maps[-1])
        decoded = []
        for convs, skip in zip(self.up, reversed(maps[:-1]), strict=True):
            doubled = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = convs(torch.cat((doubled, skip), dim=1))  # (B, F, Y, X)
            decoded.append(x)
        auxiliary: tuple[Tensor, ...] = ()
        if self.training:
            coarser = zip(self.auxiliary_heads, decoded[:-1], strict=True)
            auxiliary = tuple(self._enlarged(head(x), maps[0], margin_px) for head, x in coarser)
        mean = self.dropout(self.head(x)).float()  # (B, C, Y, X)
        return Prediction(without_margin(mean, margin_px), auxiliary=auxiliary)

    def _enlarged(self, coarse: Tensor, finest: Tensor, margin_px: int) -> Tensor:
        # The head is pointwise: applied before the enlargement it gives the same numbers for less work.
        enlarged: Tensor = self.dropout(functional.interpolate(coarse, finest.shape[-2:], mode="nearest"))
        return without_margin(enlarged.float(), margin_px)


def _conv_pair(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Return twice 3×3 convolution, ReLU, batch norm, with dropout after the first."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(outputs),
        nn.Dropout(dropout),
        nn.Conv2d(outputs, outputs, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(outputs),
    )
