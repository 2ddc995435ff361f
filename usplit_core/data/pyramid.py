"""The lateral-context pyramid, and windows cut from all of its levels at once (docs/method.md, Lateral context).

Level l + 1 is level l at half the resolution, as skimage.transform.resize with order 1 and
anti-aliasing makes it (juglab/uSplit usplit/data_loader/lc_tiff_dloader.py). K counts the images of
a frame: its structure channels, or 1 for the superimposed image.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from usplit_core.errors import DataError

Border = Literal["reflect", "constant"]

#: Reach of the anti-aliasing Gaussian, in standard deviations.
TRUNCATE = 4.0
#: Pixels of an image that are halved at once: few enough to stay in the cache of a processor.
HALVED_PX = 2**18


def build_pyramid(images: Tensor, lc_depth: int) -> tuple[Tensor, ...]:
    """Return the images at native resolution and halved `lc_depth` times.

    Parameters
    ----------
    images
        Floating-point images (N, K, Y, X).

    Returns
    -------
    One tensor (N, K, Y // 2**l, X // 2**l) for each level l, on the device of the images.

    Raises
    ------
    DataError
        If the images are too small to be halved so often.
    """
    check_depth(images.shape[-2], images.shape[-1], lc_depth)
    levels = [images]
    for _ in range(lc_depth):
        finer = levels[-1]
        coarser = finer.new_empty(*finer.shape[:2], finer.shape[-2] // 2, finer.shape[-1] // 2)
        for frame, target in zip(finer, coarser, strict=True):
            halve_into(target, partial(_rows_of, frame), *frame.shape[-2:])
        levels.append(coarser)
    return tuple(levels)


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


def _rows_of(image: Tensor, first: int, last: int) -> Tensor:
    return image[:, first:last]


def check_depth(height: int, width: int, lc_depth: int) -> None:
    """Refuse frames that vanish before they are halved `lc_depth` times.

    Raises
    ------
    DataError
        With the deepest level that these frames have.
    """
    deepest = min(height, width).bit_length() - 1
    if lc_depth > deepest:
        raise DataError(
            f"model.lc_depth = {lc_depth}: frames of {height} x {width} px (y, x) can be halved {deepest} times; "
            f"lower model.lc_depth to at most {deepest}, or give larger frames"
        )


def gather(
    pyramid: Sequence[Tensor],
    frame: NDArray[Any],
    top: NDArray[Any],
    left: NDArray[Any],
    *,
    size_px: int,
    border: Border,
) -> Tensor:
    """Return, for each window of level 0, the windows of all levels around the same centre.

    Parameters
    ----------
    pyramid
        Levels (N, K, Y, X) from `build_pyramid`.
    frame, top, left
        Frame and first row and column in level 0, integers (B,); windows may lie outside the frame.
    size_px
        Side of a window in pixels of its own level.
    border
        What lies beyond the frame: its reflection (without repeating the edge), or zero.

    Returns
    -------
    Windows (B, K, L, size_px, size_px) in the type of the pyramid.
    """
    outside_px = outside(top, left, size_px, height=pyramid[0].shape[-2], width=pyramid[0].shape[-1])
    sizes = {"size_px": size_px, "outside_px": outside_px}
    cut = cutter(pad_levels(pyramid, **sizes, border=border), **sizes)
    selected = zip(cut.windows, cut.places(frame, top, left), strict=True)
    return torch.stack([windows.index_select(0, places) for windows, places in selected], dim=2)  # (B, K, L, P, P)


def outside(top: NDArray[Any], left: NDArray[Any], size_px: int, *, height: int, width: int) -> int:
    """Return by how many pixels the windows reach out of the frame at most."""
    return max(
        0,
        -int(top.min()),
        -int(left.min()),
        int(top.max()) + size_px - height,
        int(left.max()) + size_px - width,
    )


def level_start(start: NDArray[Any], size_px: int, level: int) -> NDArray[Any]:
    """Return the first pixel, in a level, of windows that begin at `start` in level 0, integers (B,).

    The centre is halved and rounded down at each level, as the authors do.
    """
    half = size_px // 2
    starts: NDArray[Any] = (start + half >> level) - half
    return starts


def pad_levels(levels: Sequence[Tensor], *, size_px: int, outside_px: int, border: Border) -> tuple[Tensor, ...]:
    """Return levels (N, K, Y, X) with what lies beyond the frame, so that windows can be cut out of them.

    Parameters
    ----------
    size_px, outside_px
        Side of the windows, and how far those of level 0 may reach out of the frame.
    """
    padded = []
    for index, level in enumerate(levels):
        padded.append(level.new_empty(padded_shape(level, margin_px(index, size_px, outside_px))))
        for frame, target in zip(level, padded[-1], strict=True):
            pad_frame(frame, target, border)
    return tuple(padded)


class Cutter(NamedTuple):
    """Levels ready to be cut into windows of one size; made by `cutter`.

    Parameters
    ----------
    windows
        Of each level, one window (K, P, P) for each place in memory, overlapping: selecting from them copies
        whole rows, several times faster than indexing pixel by pixel.
    layout : (5, levels, 1)
        Of each level: which it is, its first pixel before the centre of a window, and how far one frame, row and
        column is from the next in memory.
    """

    windows: tuple[Tensor, ...]
    layout: NDArray[np.int64]

    def places(self, frame: NDArray[Any], top: NDArray[Any], left: NDArray[Any]) -> Tensor:
        """Return which of the windows to select at each level, (levels, B), from frame, row and column in level 0."""
        half = self.windows[0].shape[-1] // 2
        level, before_px, frame_step, row_step, column_step = self.layout
        # The centre is halved and rounded down at each level, as the authors do.
        rows, columns = (top + half >> level) + before_px, (left + half >> level) + before_px
        places = frame * frame_step + rows * row_step + columns * column_step
        return torch.from_numpy(places).to(self.windows[0].device)


def cutter(padded: Sequence[Tensor], *, size_px: int, outside_px: int) -> Cutter:
    """Return what cuts windows out of all levels (N, K, Y, X), which `pad_levels` returned for the same sizes.

    Levels may be views of larger frames.
    """
    layout = []
    for level, images in enumerate(padded):
        frame_step, _, row_step, column_step = images.stride()
        before_px = margin_px(level, size_px, outside_px) - size_px // 2
        layout.append((level, before_px, frame_step, row_step, column_step))
    windows = tuple(_all_windows(images, size_px) for images in padded)
    return Cutter(windows, np.array(layout, np.int64).T[:, :, None])


def cut_level(level: Tensor, frame: Tensor, top: Tensor, left: Tensor, size_px: int) -> Tensor:
    """Return windows (B, K, P, P) that lie inside a level (N, K, Y, X)."""
    frame_step, _, row_step, column_step = level.stride()
    return _all_windows(level, size_px).index_select(0, frame * frame_step + top * row_step + left * column_step)


def _all_windows(level: Tensor, size_px: int) -> Tensor:
    """Return the windows (K, P, P) of a level (N, K, Y, X), one for each place in memory of their first pixel."""
    frames, images, height, width = level.shape
    frame_step, image_step, row_step, column_step = level.stride()
    last = (frames - 1) * frame_step + (height - size_px) * row_step + (width - size_px) * column_step
    return level.as_strided((last + 1, images, size_px, size_px), (1, image_step, row_step, column_step))


def margin_px(level: int, size_px: int, outside_px: int) -> int:
    """Return how far windows of a level may reach out of its frame.

    Inside the frame, centres of level 0 are half a window from its border; at deeper levels they
    come as close to it as rounding allows.
    """
    if level == 0:
        return outside_px
    return (size_px + 1) // 2 - (-outside_px >> level)


def padded_shape(level: Tensor, margin: int) -> tuple[int, ...]:
    """Return the shape of a level (N, K, Y, X) with a margin around each frame."""
    *counts, height, width = level.shape
    return (*counts, height + 2 * margin, width + 2 * margin)


def pad_frame(frame: Tensor, target: Tensor, border: Border) -> None:
    """Write a frame (K, Y, X), and what lies beyond it, into the larger `target` (K, Y, X)."""
    height, width = frame.shape[-2:]
    margin = (target.shape[-2] - height) // 2
    if border == "constant":
        target.zero_()
        target[..., margin : margin + height, margin : margin + width] = frame
        return
    rows = reflect(torch.arange(-margin, height + margin, device=frame.device), height)
    columns = reflect(torch.arange(-margin, width + margin, device=frame.device), width)
    target.copy_(take(take(frame, rows, -2), columns, -1))


def take(images: Tensor, index: Tensor, axis: Literal[-2, -1]) -> Tensor:
    """Return rows (axis -2) or columns (axis -1) of images (..., Y, X).

    Selecting columns one by one, as `torch.index_select` does, is up to ten times slower where rows are a power of two
    apart in memory, since a whole column then shares a few lines of the cache.
    """
    if axis == -2:
        return images.index_select(-2, index)
    return images.gather(-1, index.expand(*images.shape[:-1], -1))


def reflect(index: Tensor, length: int) -> Tensor:
    """Fold any index back into 0 … length - 1, as numpy pads with mode 'reflect' for any width."""
    if length == 1:
        return torch.zeros_like(index)
    folded = index.remainder(2 * (length - 1))
    return torch.minimum(folded, 2 * (length - 1) - folded)


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
    return _halve_axis(halved, -1)


def taps(height: int, top: int, bottom: int) -> tuple[int, int]:
    """Return the first row of an image that rows `top` to `bottom` of the next level depend on, and the one after."""
    index = _halving(height)[0][:, top:bottom]
    return int(index.min()), int(index.max()) + 1


def _halve_axis(images: Tensor, axis: Literal[-2, -1]) -> Tensor:
    return _weigh(images, *_halving(images.shape[axis]), axis)


def _weigh(images: Tensor, index: NDArray[np.int64], weight: NDArray[np.float64], axis: Literal[-2, -1]) -> Tensor:
    """Return weighted sums of pixels along an axis: indices and weights are (T, size of the result)."""
    shape = [-1, 1] if axis == -2 else [-1]
    taps = torch.from_numpy(index).to(images.device)
    weights = torch.from_numpy(weight).to(images)
    result = take(images, taps[0], axis).mul_(weights[0].reshape(shape))
    for tap, share in zip(taps[1:], weights[1:], strict=True):
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
