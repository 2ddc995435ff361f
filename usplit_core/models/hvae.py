"""The hierarchical VAE (ladder VAE) with lateral context, and its deterministic twin (HAE).

Source: docs/method.md, Networks; "juglab/uSplit usplit/nets/lvae.py". Levels are numbered from the
bottom, i = 0 … depth - 1. The primary map halves at every level; where a level has lateral context
(i < lc_depth) the map is merged with context input l = i + 1, which brings it back to full size:

==================  ===========================  ==============================
variant             map that the decoder sees    decoder at a level with context
==================  ===========================  ==============================
vanilla             P / 2^(i + 1)                –
lean                its centre, P / 2^(i + 1)    as vanilla
regular, deep       P                            keeps P: crops to P / 2, doubles
==================  ===========================  ==============================

Regular and deep are one network; deep has levels without context on top (depth > lc_depth).
The HAE has no prior and no variance: its heads predict the mean alone, so it has fewer parameters
than the HVAE of the same size.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from usplit_core.config import ModelConfig
from usplit_core.errors import ConfigError
from usplit_core.models.latent import DeterministicLatent, Latent, LatentSize, StochasticLatent
from usplit_core.models.lateral import LateralMerge, context_stem
from usplit_core.models.layers import (
    Merge,
    ResidualBlock,
    Stem,
    Upsample,
    centre_crop,
    centre_pad,
    downsample,
    seen_by,
)
from usplit_core.models.likelihood import GaussianHead
from usplit_core.models.neighbours import InputRow, lift
from usplit_core.models.network import Network, Prediction, check_input
from usplit_core.models.windows import Window, Windows, needed_windows, whole_windows

#: What a 3×3 convolution sees beyond its result, on both sides together.
_CONV_RIM_PX = 2
#: Networks with more levels scale the posterior features up, level by level.
_MAX_UNSCALED_DEPTH = 4


class BottomUpLevel(nn.Module):
    """One level of the encoder: halves the primary map; with context, merges it in."""

    def __init__(self, filters: int, dropout: float, *, with_context: bool) -> None:
        super().__init__()
        self.downsample = downsample(filters, dropout)
        self.lateral_merge = LateralMerge(filters, dropout) if with_context else None

    def forward(self, primary: Tensor, context: Tensor | None, kept: tuple[int, int] | None = None) -> Tensor:
        """Return (B, F, Y / 2, X / 2), or with a context map (B, F, Y, X) that size or its centre, `kept`."""
        halved: Tensor = self.downsample(primary)
        if self.lateral_merge is None:
            return halved
        merged: Tensor = self.lateral_merge(halved, context, kept)
        return merged


class TopDownLevel(nn.Module):
    """One level of the decoder: posterior, latent, skip around the latent, doubling of the map.

    Parameters
    ----------
    filters, dropout
        Of its blocks.
    latent
        `StochasticLatent` or `DeterministicLatent`.
    is_top
        The top level has nothing above to merge with.
    posterior_scale
        Factor on the features that the posterior is read from.
    """

    def __init__(
        self, filters: int, dropout: float, latent: nn.Module, *, is_top: bool, posterior_scale: float
    ) -> None:
        super().__init__()
        self.posterior_merge = None if is_top else Merge(filters, dropout)
        self.skip_merge = None if is_top else Merge(filters, dropout)
        self.latent = latent
        self.upsample = Upsample(filters, dropout)
        self.posterior_scale = posterior_scale

    def forward(
        self,
        bottom_up: Tensor,
        above: Tensor | None,
        window: tuple[Window, Window],
        *,
        kept: tuple[int, int],
        given: Tensor | None,
        with_kl: bool,
    ) -> tuple[Tensor, Latent | None]:
        """Return the map for the level below and the latent.

        Parameters
        ----------
        bottom_up
            Map of the encoder at this level, (B, F, Y, X).
        above
            Map of the level above, (B, F, Y, X) or its centre; None at the top.
        window
            What to compute of these maps, along Y and X.
        kept
            What to compute of the doubled map, along Y and X.
        given, with_kl
            As in `StochasticLatent`.
        """
        entering, sampled, leaving = zip(*window, strict=True)
        bottom_up = centre_crop(bottom_up, *entering)
        above = above if above is None else centre_crop(above, *entering)
        features = bottom_up
        if self.posterior_merge is not None:
            features = self.posterior_merge(bottom_up, above, seen_by(sampled, bottom_up, _CONV_RIM_PX))
        if self.posterior_scale != 1:
            features = features * self.posterior_scale
        # Only what leaves is computed, in training too: the map is cropped behind the last batch norm before it.
        output = leaving
        if self.skip_merge is not None:
            output = sampled if self.training else seen_by(leaving, bottom_up, ResidualBlock.rim_px)
        size = LatentSize(entering, sampled, output)
        x, latent = self.latent(features, above, given=given, with_kl=with_kl, size=size)
        if self.skip_merge is not None:
            x = self.skip_merge(x, above, leaving)  # (B, F, Y, X)
        return self.upsample(x, kept), latent


class LadderVAE(Network):
    """HVAE (``architecture = "hvae"``) or HAE (``"hae"``), of any variant; see the module."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        levels, filters, dropout = range(config.depth), config.filters, config.dropout
        self.stem = Stem(filters, dropout)
        self.context_stems = nn.ModuleList(context_stem(filters, dropout) for _ in range(config.lc_depth))
        self.bottom_up = nn.ModuleList(
            BottomUpLevel(filters, dropout, with_context=level < config.lc_depth) for level in levels
        )
        self.top_down = nn.ModuleList(_top_down_level(config, level) for level in levels)
        self.final_block = ResidualBlock(filters, dropout)
        self.likelihood = GaussianHead(filters, config.structure_channels, config.log_variance, config.min_log_variance)

    def encode(
        self, input: Tensor, *, margin_px: int | None = None, rows: Sequence[InputRow] = ()
    ) -> tuple[Tensor, ...]:
        """Return the bottom-up map of each level, from the bottom; see `Network.encode`."""
        check_input(input, self.config)
        height, width = input.shape[-2:]
        sizes = [(self._map_px(height, level), self._map_px(width, level)) for level in range(self.config.depth)]
        top = (self._top_size(height, margin_px), self._top_size(width, margin_px))
        x = lift(self.stem, input[:, :1], level=0, rows=rows)  # (B, F, Y, X)
        maps = []
        for level, bottom_up in enumerate(self.bottom_up):
            context, kept = None, top if level == self.config.depth - 1 else None
            if level < self.config.lc_depth:
                image = input[:, level + 1 : level + 2]
                seen = None if kept is None or self.training else seen_by(kept, image, ResidualBlock.rim_px)
                stem = cast(Stem, self.context_stems[level])
                context = lift(stem, image, level=level + 1, rows=rows, kept=seen)  # (B, F, Y, X)
            x = bottom_up(x, context, kept)
            maps.append(x if kept else centre_crop(x, *sizes[level]))
        # What was left out of the top map, and nobody sees, is zero.
        return *maps[:-1], centre_pad(centre_crop(x, *top), *sizes[-1])

    def decode(
        self,
        maps: Sequence[Tensor],
        *,
        latents: Sequence[Tensor] | None = None,
        with_kl: bool = True,
        margin_px: int = 0,
    ) -> Prediction:
        """Predict the structure channels; the latents are drawn, also in evaluation; see `Network.decode`.

        Raises
        ------
        ConfigError
            If the KL is asked for and the input was not of ``patch_px``: the prior of the top level has one size.
        """
        if with_kl:
            self._check_prior_size(maps[-1])
        needs_all = self.training or with_kl
        rows, columns = (
            self._windows([x.shape[axis] for x in maps], margin_px, needs_all=needs_all) for axis in (-2, -1)
        )
        windows = list(zip(rows.levels, columns.levels, strict=True))
        x: Any = None  # nothing lies above the top level
        drawn: list[Latent | None] = []
        kept = [(rows.final, columns.final), *((row.entering, column.entering) for row, column in windows)]
        for level in reversed(range(self.config.depth)):
            given = None if latents is None else latents[level]
            top_down = self.top_down[level]
            x, latent = top_down(maps[level], x, windows[level], kept=kept[level], given=given, with_kl=with_kl)
            drawn.append(latent)
        mean, log_variance = self.likelihood(self.final_block(x, (rows.head, columns.head)))
        mean = centre_crop(mean, rows.kept, columns.kept)  # (B, C, Y, X)
        if log_variance is not None:
            log_variance = centre_crop(log_variance, rows.kept, columns.kept)
        return Prediction(mean, log_variance, tuple(latent for latent in reversed(drawn) if latent is not None))

    def _windows(self, sizes: Sequence[int], margin_px: int, *, needs_all: bool) -> Windows:
        """Return what to compute of maps of these sizes: in training and for the KL every pixel counts."""
        # The mean log-variance of an image is that of all pixels.
        is_pixelwise = self.config.log_variance in ("none", "pixelwise")
        windows = needed_windows if is_pixelwise and not needs_all else whole_windows
        crops = [self.config.variant != "lean" and level < self.config.lc_depth for level in range(self.config.depth)]
        return windows(sizes, crops, margin_px)

    def _map_px(self, side: int, level: int) -> int:
        """Return the side of a map that the decoder sees, of an input of `side` px."""
        halvings = level + 1 if self.config.variant == "lean" else max(0, level + 1 - self.config.lc_depth)
        return side >> halvings

    def _top_size(self, side: int, margin_px: int | None) -> int:
        """Return the side of what to compute of the top map."""
        depth = self.config.depth
        if margin_px is None or self.training:
            return self._map_px(side, depth - 1)
        sizes = [self._map_px(side, level) for level in range(depth)]
        return self._windows(sizes, margin_px, needs_all=False).levels[-1].entering

    def _check_prior_size(self, top: Tensor) -> None:
        side = _top_prior_px(self.config)
        if self.config.architecture == "hvae" and top.shape[-2:] != (side, side):
            raise ConfigError(
                f"the KL is defined for inputs of {self.config.patch_px} px only, the size of the learned prior: "
                "predict images of other sizes with with_kl=False"
            )


def _top_down_level(config: ModelConfig, level: int) -> TopDownLevel:
    is_top = level == config.depth - 1
    channels = config.level_latent_channels[level]
    latent: nn.Module
    if config.architecture == "hvae":
        latent = StochasticLatent(config.filters, channels, top_prior_px=_top_prior_px(config) if is_top else None)
    else:
        latent = DeterministicLatent(config.filters, channels)
    return TopDownLevel(
        config.filters,
        config.dropout,
        latent,
        is_top=is_top,
        posterior_scale=math.sqrt(2 * (1 + level)) if config.depth > _MAX_UNSCALED_DEPTH else 1.0,
    )


def _top_prior_px(config: ModelConfig) -> int:
    shrinking = config.depth if config.variant == "lean" else config.depth - config.lc_depth
    return config.patch_px >> shrinking
