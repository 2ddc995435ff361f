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
from typing import Any

from torch import Tensor, nn

from usplit_core.config import ModelConfig
from usplit_core.errors import ConfigError
from usplit_core.models.latent import DeterministicLatent, Latent, StochasticLatent
from usplit_core.models.lateral import LateralMerge, context_stem
from usplit_core.models.layers import Merge, ResidualBlock, centre_crop, downsample, stem, upsample
from usplit_core.models.likelihood import GaussianHead
from usplit_core.models.network import Network, Prediction, check_input
from usplit_core.models.windows import Window, Windows, needed_windows, whole_windows

#: Networks with more levels scale the posterior features up, level by level.
_MAX_UNSCALED_DEPTH = 4


class BottomUpLevel(nn.Module):
    """One level of the encoder: halves the primary map; with context, merges it in."""

    def __init__(self, filters: int, dropout: float, *, with_context: bool) -> None:
        super().__init__()
        self.downsample = downsample(filters, dropout)
        self.lateral_merge = LateralMerge(filters, dropout) if with_context else None

    def forward(self, primary: Tensor, context: Tensor | None) -> Tensor:
        """Return (B, F, Y / 2, X / 2), or with a context map (B, F, Y, X) a map of its size."""
        halved: Tensor = self.downsample(primary)
        if self.lateral_merge is None:
            return halved
        merged: Tensor = self.lateral_merge(halved, context)
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
        self.upsample = upsample(filters, dropout)
        self.posterior_scale = posterior_scale

    def forward(
        self,
        bottom_up: Tensor,
        above: Tensor | None,
        window: tuple[Window, Window],
        *,
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
        given, with_kl
            As in `StochasticLatent`.
        """
        rows, columns = window
        bottom_up = centre_crop(bottom_up, rows.entering, columns.entering)
        above = above if above is None else centre_crop(above, rows.entering, columns.entering)
        given = given if given is None else centre_crop(given, rows.entering, columns.entering)
        features = bottom_up if self.posterior_merge is None else self.posterior_merge(bottom_up, above)
        if self.posterior_scale != 1:
            features = features * self.posterior_scale
        leaving = (rows.leaving, columns.leaving)
        # Only what leaves is computed, in training too: the map is cropped behind the last batch norm before it.
        is_top = self.skip_merge is None
        x, latent = self.latent(features, above, given=given, with_kl=with_kl, kept=leaving if is_top else None)
        if self.skip_merge is not None:
            x = self.skip_merge(x, above, leaving)  # (B, F, Y, X)
        return self.upsample(x), latent


class LadderVAE(Network):
    """HVAE (``architecture = "hvae"``) or HAE (``"hae"``), of any variant; see the module."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        levels, filters, dropout = range(config.depth), config.filters, config.dropout
        self.stem = stem(filters, dropout)
        self.context_stems = nn.ModuleList(context_stem(filters, dropout) for _ in range(config.lc_depth))
        self.bottom_up = nn.ModuleList(
            BottomUpLevel(filters, dropout, with_context=level < config.lc_depth) for level in levels
        )
        self.top_down = nn.ModuleList(_top_down_level(config, level) for level in levels)
        self.final_block = ResidualBlock(filters, dropout)
        self.likelihood = GaussianHead(filters, config.structure_channels, config.log_variance, config.min_log_variance)

    def encode(self, input: Tensor) -> tuple[Tensor, ...]:
        """Return the bottom-up map of each level, from the bottom; see `Network.encode`."""
        check_input(input, self.config)
        height, width = input.shape[-2:]
        x = self.stem(input[:, :1])  # (B, F, Y, X)
        maps = []
        for level, bottom_up in enumerate(self.bottom_up):
            context = None
            if level < self.config.lc_depth:
                context = self.context_stems[level](input[:, level + 1 : level + 2])  # (B, F, Y, X)
            x = bottom_up(x, context)
            is_lean = self.config.variant == "lean"
            maps.append(centre_crop(x, height >> (level + 1), width >> (level + 1)) if is_lean else x)
        return tuple(maps)

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
        rows, columns = (self._windows(maps, axis, margin_px, with_kl=with_kl) for axis in (-2, -1))
        windows = list(zip(rows.levels, columns.levels, strict=True))
        x: Any = None  # nothing lies above the top level
        drawn: list[Latent | None] = []
        for level in reversed(range(self.config.depth)):
            given = None if latents is None else latents[level]
            x, latent = self.top_down[level](maps[level], x, windows[level], given=given, with_kl=with_kl)
            drawn.append(latent)
        mean, log_variance = self.likelihood(self.final_block(centre_crop(x, rows.final, columns.final)))
        mean = centre_crop(mean, rows.kept, columns.kept)  # (B, C, Y, X)
        if log_variance is not None:
            log_variance = centre_crop(log_variance, rows.kept, columns.kept)
        return Prediction(mean, log_variance, tuple(latent for latent in reversed(drawn) if latent is not None))

    def _windows(self, maps: Sequence[Tensor], axis: int, margin_px: int, *, with_kl: bool) -> Windows:
        """Return what to compute: in training, for the KL and for a mean log-variance every pixel counts."""
        is_pixelwise = self.config.log_variance in ("none", "pixelwise")
        windows = needed_windows if is_pixelwise and not (self.training or with_kl) else whole_windows
        crops = [self.config.variant != "lean" and level < self.config.lc_depth for level in range(self.config.depth)]
        return windows([x.shape[axis] for x in maps], crops, margin_px)

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
