"""The Gaussian likelihood of the structure channels.

Source: docs/method.md, Networks and Objective; the four log-variance modes are those of
"juglab/uSplit usplit/core/likelihoods.py".
"""

import math
from typing import Literal

from torch import Tensor, nn

from usplit_core.models.layers import conv3x3

LogVarianceMode = Literal["none", "global", "channelwise", "pixelwise"]


class GaussianHead(nn.Module):
    """Mean and log-variance of each structure channel from the last map of the decoder.

    Parameters
    ----------
    filters, structure_channels
        F and C.
    mode
        ``none`` predicts no variance; ``global`` one number an image, ``channelwise`` one a structure
        channel, ``pixelwise`` one a pixel.
    min_log_variance
        Smaller predictions are set to it.
    """

    def __init__(self, filters: int, structure_channels: int, mode: LogVarianceMode, min_log_variance: float) -> None:
        super().__init__()
        self.mode = mode
        self.min_log_variance = min_log_variance
        self.conv = conv3x3(filters, structure_channels if mode == "none" else 2 * structure_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return mean and log-variance, float32, (B, C, Y, X) each, from a map (B, F, Y, X)."""
        parameters = self.conv(x).float()
        if self.mode == "none":
            return parameters, None
        mean, log_variance = parameters.chunk(2, dim=1)  # (B, C, Y, X)
        if self.mode == "channelwise":
            log_variance = log_variance.mean(dim=(2, 3), keepdim=True)
        elif self.mode == "global":
            log_variance = log_variance.mean(dim=(1, 2, 3), keepdim=True)
        return mean, log_variance.clamp(min=self.min_log_variance).expand_as(mean)


def negative_log_likelihood(target: Tensor, mean: Tensor, log_variance: Tensor | None) -> Tensor:
    """Return -log N(target; mean, exp(log_variance)) of each pixel, (B, C, Y, X), in nats.

    Without a log-variance the variance is one and the constant is left out: half the squared error.
    """
    squared_error = (target - mean).square()
    if log_variance is None:
        return 0.5 * squared_error
    return 0.5 * (squared_error * (-log_variance).exp() + log_variance + math.log(2 * math.pi))
