"""How well a noise model fits the pixels that it was fitted to, from dark to bright.

Source: docs/noise_model.md.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.models.noise_model import NoiseModel, log_likelihood, paired_pixels, standard_deviation

#: Pixels of a structure channel that are looked at, and that a level needs to be told from chance.
_MOST_PIXELS = 1 << 18
_FEWEST_OF_A_LEVEL = 200
#: Above this quantile of the signal, single pixels would have levels of their own.
_BRIGHTEST = 0.999
_BINS = 40
#: Bins of a level reach this many standard deviations to either side of its signal.
_REACH = 4.0
#: Signals of a level over which the fitted density is averaged.
_SIGNALS = 128

Array = NDArray[np.float64]


class ChannelFit(NamedTuple):
    """Noise of one structure channel at levels of the signal, as measured and as fitted, in intensities.

    Attributes
    ----------
    signal, bias
        Mean signal of the pixels of a level, and mean of observation - signal, (levels,).
    measured, fitted
        Standard deviations of the noise, (levels,).
    edges
        Of the bins of a histogram of the observations, (levels, bins + 1).
    measured_density, fitted_density
        Probability density in each bin, (levels, bins).
    gain
        Mean log-likelihood of a pixel above that of Gaussian noise that is the same everywhere, in nats.
    """

    signal: Array
    bias: Array
    measured: Array
    fitted: Array
    edges: Array
    measured_density: Array
    fitted_density: Array
    gain: float

    @property
    def misfit(self) -> float:
        """Largest relative deviation of the fitted from the measured standard deviation."""
        return float(np.max(np.abs(self.fitted / np.maximum(self.measured, np.finfo(float).tiny) - 1)))

    @property
    def relative_bias(self) -> float:
        """Largest bias, in standard deviations of the fitted noise."""
        return float(np.max(np.abs(self.bias) / self.fitted))


class _Level(NamedTuple):
    """A row of `ChannelFit`."""

    signal: float
    bias: float
    measured: float
    fitted: float
    edges: Array
    measured_density: Array
    fitted_density: Array


def assess(
    model: NoiseModel, signal: NDArray[Any], observation: NDArray[Any], *, levels: int = 12, seed: int = 0
) -> list[ChannelFit]:
    """Compare a noise model with pairs of signal and observation.

    Parameters
    ----------
    model
        In intensities.
    signal, observation
        (N, C, Y, X), in intensities.
    levels
        Of the signal, of equal width; those with too few pixels are left out.
    seed
        Of the choice of pixels, where there are more than are looked at.

    Returns
    -------
    list[ChannelFit]
        One for each structure channel.

    Raises
    ------
    DataError
        If the images differ in shape or are not finite.
    """
    signals, observations = paired_pixels(signal, observation)  # (C, pixels)
    count = signals.shape[1]
    if count > _MOST_PIXELS:
        chosen = torch.randint(count, (_MOST_PIXELS,), generator=torch.Generator().manual_seed(seed))
        signals, observations = signals[:, chosen], observations[:, chosen]
    channels = [NoiseModel(*(tensor[index : index + 1] for tensor in model)) for index in range(len(signals))]
    return [_assess_channel(*channel, levels) for channel in zip(channels, signals, observations, strict=True)]


def _assess_channel(model: NoiseModel, signal: Tensor, observation: Tensor, levels: int) -> ChannelFit:
    """Assess one structure channel from its pixels, (pixels,) each."""
    rows = [_assess_level(model, signal[pixels], observation[pixels]) for pixels in _levels_of(signal, levels)]
    columns: dict[str, Any] = {name: np.array([getattr(row, name) for row in rows]) for name in _Level._fields}
    constant = -0.5 * (1 + np.log(2 * np.pi * float((observation - signal).square().mean())))
    gain = float(log_likelihood(model, _image(observation), _image(signal)).mean()) - constant
    return ChannelFit(**columns, gain=gain)


def _levels_of(signal: Tensor, levels: int) -> list[NDArray[np.intp]]:
    """Return the indices of the pixels of each level."""
    values = signal.numpy()
    edges = np.linspace(values.min(), np.quantile(values, _BRIGHTEST), levels + 1)
    level = np.digitize(values, edges[1:-1])
    found = [np.flatnonzero(level == index) for index in range(levels)]
    return [pixels for pixels in found if len(pixels) >= _FEWEST_OF_A_LEVEL] or [np.arange(len(values))]


def _assess_level(model: NoiseModel, signal: Tensor, observation: Tensor) -> _Level:
    """Assess one level from its pixels, (pixels,) each."""
    noise = (observation - signal).double()
    fitted = float(standard_deviation(model, _image(signal)).double().square().mean().sqrt())
    spread = np.hypot(fitted, float(signal.double().std(correction=0)))
    centre = float(signal.double().mean())
    edges = np.linspace(centre - _REACH * spread, centre + _REACH * spread, _BINS + 1)
    counts = np.histogram(observation.numpy(), edges)[0]
    measured_density = counts / (len(signal) * np.diff(edges))
    # The signals of a level differ, so the density is averaged over them as the histogram is.
    shown = signal.sort().values[np.linspace(0, len(signal) - 1, min(len(signal), _SIGNALS)).astype(int)]
    middles = torch.from_numpy((edges[1:] + edges[:-1]) / 2).float()[:, None]  # (bins, 1)
    density = log_likelihood(model, middles[None], shown[None, None]).double().exp()[0].mean(dim=1)  # (bins,)
    bias, measured = float(noise.mean()), float(noise.std(correction=0))
    return _Level(centre, bias, measured, fitted, edges, measured_density, density.numpy())


def _image(pixels: Tensor) -> Tensor:
    return pixels[None, None]  # (C, Y, X) of one structure channel and one row
