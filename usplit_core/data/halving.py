"""Images at half their resolution, as skimage.transform.resize with order 1 and anti-aliasing makes them.

So do the authors (juglab/uSplit usplit/data_loader/lc_tiff_dloader.py). K counts the images of a frame.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

#: Reach of the anti-aliasing Gaussian, in standard deviations.
TRUNCATE = 4.0
#: Pixels of an image that are halved at once: few enough to stay in the cache of a processor.
HALVED_PX = 2**18


def halve_into(target: Tensor, rows: Callable[[int, int], Tensor], height: int, width: int) -> None:
    """Write the next level of an image into `target` (K, Y // 2, X // 2), some rows at a time.

    Parameters
    ----------
    rows
        Returns the rows of the image from a first one to the one before a last, (K, rows, X).
    height, width
        Of the image.
    """
    at_once = max(1, HALVED_PX // (2 * width))
    for top in range(0, target.shape[-2], at_once):
        bottom = min(top + at_once, target.shape[-2])
        first, last = taps(height, top, bottom)
        target[:, top:bottom] = halve_rows(rows(first, last), first, height, top=top, bottom=bottom)


def halve_rows(rows: Tensor, first: int, height: int, *, top: int, bottom: int) -> Tensor:
    """Return rows `top` to `bottom` of the next level, computed from some rows of an image: those that `taps` names.

    Parameters
    ----------
    rows
        Of the image, (..., Y, X), from row `first` on.
    height
        Of the whole image.
    """
    index, weight = _halving(height)
    halved = _weigh(rows, index[:, top:bottom] - first, weight[:, top:bottom], -2)
    return _weigh(halved, *_halving(halved.shape[-1]), -1)


def taps(height: int, top: int, bottom: int) -> tuple[int, int]:
    """Return the first row of an image that rows `top` to `bottom` of the next level depend on, and the one after."""
    index = _halving(height)[0][:, top:bottom]
    return int(index.min()), int(index.max()) + 1


def take(images: Tensor, index: Tensor, axis: Literal[-2, -1], *, out: Tensor | None = None) -> Tensor:
    """Return rows (axis -2) or columns (axis -1) of images (..., Y, X), in `out` where it is given.

    Selecting columns one by one, as `torch.index_select` does, is up to ten times slower where rows are a power of two
    apart in memory, since a whole column then shares a few lines of the cache.
    """
    if axis == -2:
        return torch.index_select(images, -2, index, out=out)
    return torch.gather(images, -1, index.expand(*images.shape[:-1], -1), out=out)


def _weigh(images: Tensor, index: NDArray[np.int64], weight: NDArray[np.float64], axis: Literal[-2, -1]) -> Tensor:
    """Return weighted sums of pixels along an axis: indices and weights are (T, size of the result)."""
    shape = [-1, 1] if axis == -2 else [-1]
    places = torch.from_numpy(index).to(images.device)
    weights = torch.from_numpy(weight).to(images)
    result = take(images, places[0], axis).mul_(weights[0].reshape(shape))
    for tap, share in zip(places[1:], weights[1:], strict=True):
        result.addcmul_(take(images, tap, axis), share.reshape(shape))
    return result


@lru_cache(maxsize=32)
def _halving(size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which pixels of a line, and with which weights (T, size // 2), make each pixel of the halved line.

    A Gaussian of standard deviation (size / (size // 2) - 1) / 2 px, mirrored at the ends, and then
    linear interpolation at the centres of the new pixels. For an even size this is the mean of two
    blurred pixels.
    """
    factor = size / (size // 2)
    sigma = (factor - 1) / 2
    radius = int(TRUNCATE * sigma + 0.5)
    kernel = ndimage.gaussian_filter1d(np.eye(1, 2 * radius + 1, radius), sigma, truncate=TRUNCATE)[0]
    position = (np.arange(size // 2) + 0.5) * factor - 0.5
    left = np.floor(position).astype(np.int64)
    fraction = position - left
    taps = np.arange(-radius, radius + 2)[:, None]
    weight = np.pad(kernel, (0, 1))[:, None] * (1 - fraction) + np.pad(kernel, (1, 0))[:, None] * fraction
    period = max(2 * (size - 1), 1)
    folded = (left + taps) % period
    return np.minimum(folded, period - folded), weight
