"""The lateral-context pyramid, and windows cut from all of its levels at once (docs/method.md, Lateral context).

Level l + 1 is level l at half the resolution (`usplit_core.data.halving`). K counts the images of a
frame: its structure channels, or 1 for the superimposed image.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.data.halving import take
from usplit_core.errors import DataError

Border = Literal["reflect", "constant"]


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


def outside(top: NDArray[Any], left: NDArray[Any], size_px: int, *, height: int, width: int) -> int:
    """Return by how many pixels the windows reach out of the frame at most."""
    return max(
        0,
        -int(top.min()),
        -int(left.min()),
        int(top.max()) + size_px - height,
        int(left.max()) + size_px - width,
    )


def level_start(start: NDArray[Any], size_px: int, level: int | NDArray[np.int64]) -> NDArray[Any]:
    """Return the first pixel, in a level, of windows that begin at `start` in level 0, integers (B,).

    The centre is halved and rounded down at each level, as the authors do. Of several levels (levels, 1) at once, the
    result is (levels, B).
    """
    half = size_px // 2
    starts: NDArray[Any] = (start + half >> level) - half
    return starts


class Cutter(NamedTuple):
    """Levels ready to be cut into windows of one size; made by `cutter`.

    Parameters
    ----------
    windows
        Of each level, one window (K, P, P) for each place in memory, overlapping: selecting from them copies
        whole rows, several times faster than indexing pixel by pixel.
    layout : (5, levels, 1)
        Of each level: which it is, its margin in pixels, and how far one frame, row and column is from the next in
        memory.
    """

    windows: tuple[Tensor, ...]
    layout: NDArray[np.int64]

    def places(self, frame: NDArray[Any], top: NDArray[Any], left: NDArray[Any]) -> Tensor:
        """Return which of the windows to select at each level, (levels, B), from frame, row and column in level 0."""
        size_px = self.windows[0].shape[-1]
        level, margin, frame_step, row_step, column_step = self.layout
        rows, columns = (level_start(start, size_px, level) + margin for start in (top, left))
        places = frame * frame_step + rows * row_step + columns * column_step
        return torch.from_numpy(places).to(self.windows[0].device)


def cutter(padded: Sequence[Tensor], *, size_px: int, outside_px: int) -> Cutter:
    """Return what cuts windows out of all levels (N, K, Y, X), which are padded for the same sizes.

    Levels may be views of larger frames.
    """
    layout = []
    for level, images in enumerate(padded):
        frame_step, _, row_step, column_step = images.stride()
        layout.append((level, margin_px(level, size_px, outside_px), frame_step, row_step, column_step))
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
    take(take(frame, rows, -2), columns, -1, out=target)


def reflect(index: Tensor, length: int) -> Tensor:
    """Fold any index back into 0 … length - 1, as numpy pads with mode 'reflect' for any width."""
    if length == 1:
        return torch.zeros_like(index)
    folded = index.remainder(2 * (length - 1))
    return torch.minimum(folded, 2 * (length - 1) - folded)
