"""MicroSSIM (Ashesh, Deschamps & Jug, arXiv:2408.08747) from its authors' package, where that is installed.

The package is no dependency: it forbids later versions of torch, scipy and scikit-image than it knows.
"""

from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_installed() -> bool:
    """Return whether the package is there."""
    return find_spec("microssim") is not None


def micro_ssim(targets: Sequence[NDArray[Any]], predictions: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return the MicroSSIM of each frame and structure channel; NaN where it is not defined.

    Background, range and range-invariant factor are fitted to all frames of a channel together, as its authors advise.

    Parameters
    ----------
    targets, predictions
        Of each frame (C, Y, X), in any unit.

    Returns
    -------
    (N, C), 1 = equal up to offset and factor.
    """
    channels = range(len(targets[0]))
    scores = [
        _of_channel(
            np.stack([frame[channel] for frame in targets]), np.stack([frame[channel] for frame in predictions])
        )
        for channel in channels
    ]
    return np.array(scores, np.float64).T


def _of_channel(target: NDArray[Any], prediction: NDArray[Any]) -> list[float]:
    """Return the score of each frame of one channel, (N, Y, X)."""
    # Imported here: it takes seconds, and may be absent.
    from microssim import MicroSSIM

    if np.ptp(target) == 0 or np.ptp(prediction) == 0:
        return [float("nan")] * len(target)
    with redirect_stderr(StringIO()):  # it shows a progress bar for each channel
        fitted = MicroSSIM().fit(target, prediction)
    return [float(fitted.score(*pair)) for pair in zip(target, prediction, strict=True)]
