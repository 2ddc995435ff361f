"""The lateral-context pyramid, and windows cut from all of its levels at once (docs/method.md, Lateral context).

Level l + 1 is level l at half the resolution (`usplit_core.data.halving`). K counts the images of a
frame: its structure channels, or 1 for the superimposed image.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.data.halving import halve_into, take
from usplit_core.errors import DataError

Border = Literal["reflect", "constant"]


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


def reflect(index: Tensor, length: int) -> Tensor:
    """Fold any index back into 0 … length - 1, as numpy pads with mode 'reflect' for any width."""
    if length == 1:
        return torch.zeros_like(index)
    folded = index.remainder(2 * (length - 1))
    return torch.minimum(folded, 2 * (length - 1) - folded)
