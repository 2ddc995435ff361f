"""A noise model beside the pixels that it was fitted to: standard deviation by signal, and histograms.

Not a figure of a study: `usplit noise-model` draws it beside the file that it writes.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.style import FAINT, INK, PAGE_MM, colour

TITLE = "Noise model"
#: Histograms of a structure channel.
_SHOWN = 4
_ROW_MM = 55.0

Array = NDArray[np.float64]


class Fit(Protocol):
    """What is known of one structure channel; see `usplit_core.models.noise_quality.ChannelFit`."""

    @property
    def signal(self) -> Array: ...
    @property
    def measured(self) -> Array: ...
    @property
    def fitted(self) -> Array: ...
    @property
    def edges(self) -> Array: ...
    @property
    def measured_density(self) -> Array: ...
    @property
    def fitted_density(self) -> Array: ...


class Histogram(NamedTuple):
    """Observations at one level of the signal; densities (bins,) between edges (bins + 1,)."""

    signal: float
    edges: Array
    measured: Array
    fitted: Array


class Channel(NamedTuple):
    """One row: standard deviations (levels,) by signal (levels,), and some of the histograms."""

    name: str
    signal: Array
    measured: Array
    fitted: Array
    histograms: tuple[Histogram, ...]


class NoiseModelFigure(NamedTuple):
    """What the figure shows."""

    channels: tuple[Channel, ...]


def data(names: Sequence[str], fits: Sequence[Fit]) -> NoiseModelFigure:
    """Return what the figure shows of the structure channels `names`: all levels, and histograms of a few."""
    return NoiseModelFigure(tuple(_channel(name, fit) for name, fit in zip(names, fits, strict=True)))


def _channel(name: str, fit: Fit) -> Channel:
    levels = np.unique(np.linspace(0, len(fit.signal) - 1, _SHOWN).round().astype(int)).tolist()
    histograms = [
        Histogram(float(fit.signal[level]), fit.edges[level], fit.measured_density[level], fit.fitted_density[level])
        for level in levels
    ]
    return Channel(name, fit.signal, fit.measured, fit.fitted, tuple(histograms))


def draw(data: NoiseModelFigure, figure: Figure) -> None:
    """Draw a row a structure channel: noise by signal on the left, histograms on the right."""
    rows = figure.subplots(len(data.channels), 2, squeeze=False, width_ratios=(2, 3))
    for (left, right), channel in zip(rows, data.channels, strict=True):
        _draw_deviations(left, channel)
        _draw_histograms(right, channel)


def caption(data: NoiseModelFigure) -> str:
    """Say what is seen."""
    return (
        "Left: standard deviation of observation - signal by signal, measured (dots) and fitted (line). Right: "
        f"histograms of the observations at up to {_SHOWN} levels of the signal (areas) and the fitted density (lines)."
    )


def size_mm(data: NoiseModelFigure) -> tuple[float, float]:
    """Return width and height."""
    return PAGE_MM, _ROW_MM * len(data.channels)


def _draw_deviations(ax: Axes, channel: Channel) -> None:
    ax.plot(channel.signal, channel.fitted, color=INK, label="fitted")
    ax.plot(channel.signal, channel.measured, "o", color=FAINT, label="measured")
    for index, histogram in enumerate(channel.histograms):
        at = int(np.argmin(np.abs(channel.signal - histogram.signal)))
        ax.plot(histogram.signal, channel.measured[at], "o", color=colour(index))
    ax.set_ylim(bottom=0)
    ax.set_title(channel.name)
    ax.set_xlabel("signal (intensity)")
    ax.set_ylabel("noise, standard deviation")
    ax.legend()


def _draw_histograms(ax: Axes, channel: Channel) -> None:
    for index, histogram in enumerate(channel.histograms):
        label = f"signal {histogram.signal:.4g}"
        ax.stairs(histogram.measured, histogram.edges, fill=True, color=colour(index), alpha=0.35, label=label)
        ax.plot((histogram.edges[1:] + histogram.edges[:-1]) / 2, histogram.fitted, color=colour(index))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("observation (intensity)")
    ax.set_ylabel("probability density")
    ax.legend()
