"""The U-Net with lateral context.

Source: docs/method.md, Networks; "juglab/uSplit usplit/nets/unet.py". The encoder halves the map `depth`
times and doubles its channels, up to the last level. Where a level has lateral context (i < lc_depth)
its map is merged with context input l = i + 1, which brings it back to full size:

==================  =============================================================================
variant             decoder
==================  =============================================================================
vanilla             doubles the map at every level and merges it with the encoder's map
lean                as vanilla: it sees the centre of each encoder map, of the size that vanilla has
regular, deep       as the authors' U-Net-LC: crops the doubled map to the encoder's map
==================  =============================================================================

Regular and deep are one network; deep has a level without context on top (depth > lc_depth), as the
authors' U-Net-LC has. Lean, and context at the last level, are not in the authors' implementation.
The U-Net predicts no variance and knows no dropout.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from usplit_core.config import ModelConfig
from usplit_core.models.lateral import LateralMerge, context_stem
from usplit_core.models.layers import Stem, centre_crop, without_margin
from usplit_core.models.neighbours import InputRow, lift
from usplit_core.models.network import Network, Prediction, check_input


def double_conv(inputs: int, outputs: int, *, between: int | None = None) -> nn.Sequential:
    """Return twice 3×3 convolution, batch norm, ReLU; `between` channels lie between the two."""
    between = outputs if between is None else between
    return nn.Sequential(
        nn.Conv2d(inputs, between, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(between),
        nn.ReLU(inplace=True),
        nn.Conv2d(between, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(Network):
    """U-Net of any variant; see the module."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        channels = _channels(config)
        self.first = double_conv(1, channels[0])
        self.down = nn.ModuleList(double_conv(*channels[level : level + 2]) for level in range(config.depth))
        self.context_stems = nn.ModuleList(context_stem(channels[level], 0.0) for level in range(config.lc_depth))
        self.context_convs = nn.ModuleList(
            double_conv(*channels[level : level + 2]) for level in range(config.lc_depth)
        )
        self.lateral_merges = nn.ModuleList(LateralMerge(channels[level + 1], 0.0) for level in range(config.lc_depth))
        self.up = nn.ModuleList(_up(channels, level) for level in reversed(range(config.depth)))
        self.head = nn.Conv2d(channels[0], config.structure_channels, kernel_size=1)

    def encode(
        self, input: Tensor, *, margin_px: int | None = None, rows: Sequence[InputRow] = ()
    ) -> tuple[Tensor, ...]:
        """Return the first map and the map of each level; see `Network.encode`."""
        check_input(input, self.config)
        x = self.first(input[:, :1])  # (B, F, Y, X)
        maps = [x]
        for level, convs in enumerate(self.down):
            x = convs(functional.max_pool2d(x, 2))  # (B, F, Y / 2, X / 2)
            if level < self.config.lc_depth:
                stem = cast(Stem, self.context_stems[level])
                context = lift(stem, input[:, level + 1 : level + 2], level=level + 1, rows=rows)
                x = self.lateral_merges[level](x, self.context_convs[level](context))  # (B, F, Y, X)
            maps.append(x)
        if self.config.variant != "lean":
            return tuple(maps)
        height, width = input.shape[-2:]
        return tuple(centre_crop(x, height >> level, width >> level) for level, x in enumerate(maps))

    def decode(
        self,
        maps: Sequence[Tensor],
        *,
        latents: Sequence[Tensor] | None = None,
        with_kl: bool = True,
        margin_px: int = 0,
    ) -> Prediction:
        """Predict the structure channels; nothing is stochastic here; see `Network.decode`."""
        x = maps[-1]
        for convs, skip in zip(self.up, reversed(maps[:-1]), strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)  # (B, F, 2 Y, 2 X)
            x = convs(torch.cat((skip, centre_crop(x, *skip.shape[-2:])), dim=1))
        return Prediction(without_margin(self.head(x).float(), margin_px))


def _channels(config: ModelConfig) -> list[int]:
    """Return the channels of the first map and of each level: doubled, but not at the last level."""
    doublings = [*range(config.depth), config.depth - 1]
    return [config.filters << doubling for doubling in doublings]


def _up(channels: Sequence[int], level: int) -> nn.Sequential:
    """Return what merges the map from above with the encoder's map of `level`, equally many channels each."""
    return double_conv(2 * channels[level], channels[max(level - 1, 0)], between=channels[level])
