"""The two pictures that a run shows in the dashboard; the figures of a study are drawn elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usplit_core.vocabulary import METRICS, MONITOR

_GAP_PX = 4
_WHITE = 255
_DARKEST, _BRIGHTEST = 0.1, 99.9  # percentiles that become black and white


def panel(superimposed: NDArray[Any], target: NDArray[Any], prediction: NDArray[Any], path: Path) -> None:
    """Write a PNG: the input on the left, then a row a structure channel, its target beside its prediction.

    Parameters
    ----------
    superimposed, target, prediction
        Input (Y, X), target and prediction (C, Y, X), in intensities. Target and prediction of a
        channel share black and white.
    path
        The file to write.
    """
    from PIL import Image

    height, width = superimposed.shape
    canvas = np.full((len(target) * (height + _GAP_PX) - _GAP_PX, 3 * (width + _GAP_PX) - _GAP_PX), _WHITE, np.uint8)
    canvas[:height, :width] = _grey(superimposed, superimposed)
    for row, (true, predicted) in enumerate(zip(target, prediction, strict=True)):
        top, left = row * (height + _GAP_PX), width + _GAP_PX
        canvas[top : top + height, left : left + width] = _grey(true, true)
        canvas[top : top + height, left + width + _GAP_PX :] = _grey(predicted, true)
    Image.fromarray(canvas).save(path)


def _grey(image: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image (Y, X) in greys, black and white where they are in `reference`."""
    dark, bright = np.percentile(reference, (_DARKEST, _BRIGHTEST))
    scaled: NDArray[np.uint8] = np.rint(_WHITE * ((image - dark) / max(bright - dark, 1e-12)).clip(0, 1)).astype(
        np.uint8
    )
    return scaled


def draw_learning_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG: training loss and validation score by epoch."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # Fixed margins: a layout that is computed takes as long as all of the drawing.
    figure = Figure(figsize=(6.4, 2.6))
    figure.subplots_adjust(left=0.11, right=0.98, bottom=0.19, top=0.95, wspace=0.3)
    for axes, metric in zip(figure.subplots(1, 2), (METRICS["train/loss"], MONITOR), strict=True):
        epochs = [epoch for epoch, metrics in enumerate(history, start=1) if metric.key in metrics]
        axes.plot(epochs, [history[epoch - 1][metric.key] for epoch in epochs], ".-", markersize=3)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{metric.label} [{metric.unit}]" if metric.unit else metric.label)
    figure.savefig(path, dpi=80)
