"""Which window of the frame the network sees for each tile, and which part of its answer is kept.

Adds to the axis letters: T tile. Source: docs/method.md, Tiling.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from usplit_core.config import TilingConfig
from usplit_core.errors import ConfigError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


class TilePlan(NamedTuple):
    """The tiles of one frame, row by row.

    Parameters
    ----------
    height, width
        Of the frame, in px.
    input_px
        Side of the input window.
    kept_px
        Side of the tile: the middle of the window, `margin_px` inside it.
    margin_px
        Rim of every window whose prediction is thrown away.
    coverage
        How often each pixel of the frame is predicted.
    top, left : (T,)
        First row and column of each input window in the frame. Windows may lie partly outside it.
    kept : (T, 4)
        Top, left, bottom, right of what each tile contributes to the frame; together they are every pixel `coverage`
        times. Neither tops nor bottoms ever go back from one tile to the next.
    """

    height: int
    width: int
    input_px: int
    kept_px: int
    margin_px: int
    coverage: int
    top: IntArray
    left: IntArray
    kept: IntArray

    @property
    def covered(self) -> tuple[int, int]:
        """Rows and columns of the frame, from its first on, that tiles predict; all but with ``left_out``."""
        bottom, right = self.kept[:, 2:].max(axis=0).tolist() if len(self.kept) else (0, 0)
        return bottom, right

    @property
    def kept_in_window(self) -> IntArray:
        """Top, left, bottom, right of the kept boxes within the input windows, (T, 4)."""
        return self.kept - np.stack((self.top, self.left, self.top, self.left), axis=1)

    @property
    def kept_in_tile(self) -> IntArray:
        """Top, left, bottom, right of the kept boxes within the tiles, (T, 4)."""
        return self.kept_in_window - self.margin_px


class _Axis(NamedTuple):
    """The tiles along one axis."""

    window: IntArray  # first pixel of each input window
    first: IntArray  # first kept pixel
    end: IntArray  # after the last kept pixel


def input_size(patch_px: int, tiling: TilingConfig) -> int:
    """Return the side of the input window in px: P + 2p with outer padding p, else P."""
    return patch_px + 2 * tiling.padding_px if tiling.mode == "outer" else patch_px


def plan_tiles(height: int, width: int, *, patch_px: int, tiling: TilingConfig) -> TilePlan:
    """Cover a frame with tiles.

    Inner and sliding padding p keep P - 2p of an input of P px; outer padding keeps P of an input of P + 2p px. Where
    the tile does not divide the frame, the last row and column of tiles are shifted inwards, to see as much of the
    frame as the others do, and contribute only what the tiles before them have left. Sliding tiles overlap: with
    stride s each pixel is kept by (P - 2p) / s tiles an axis, at the border by tiles that begin beyond it.

    With ``tiling.border = "shift"`` no window of level 0 leaves the frame, unless the frame is smaller than it: the
    windows at the border are moved inwards and keep their outer rim. With ``tiling.remainder = "left_out"`` tiles lie
    where the authors' code has them, and pixels that no whole tile covers are in none.

    Parameters
    ----------
    height, width
        Of the frame, in px; it may be smaller than a tile.
    patch_px
        P, the patch size in training.
    tiling
        `usplit_core.config.check_tiling` tells whether the network can take it.
    """
    input_px = input_size(patch_px, tiling)
    kept_px = input_px - 2 * tiling.padding_px
    margin_px = 0 if tiling.border == "shift" else tiling.padding_px
    along = _axis_rule(kept_px, tiling)
    rows, columns = along(height), along(width)
    row, column = (index.ravel() for index in np.indices((len(rows.window), len(columns.window))))
    return TilePlan(
        height=height,
        width=width,
        input_px=input_px,
        kept_px=input_px - 2 * margin_px,
        margin_px=margin_px,
        coverage=(kept_px // stride(kept_px, tiling)) ** 2,
        top=rows.window[row],
        left=columns.window[column],
        kept=np.stack((rows.first[row], columns.first[column], rows.end[row], columns.end[column]), axis=1),  # (T, 4)
    )


def stride(kept_px: int, tiling: TilingConfig) -> int:
    """Return the px from one tile to the next, for tiles that keep `kept_px`."""
    if tiling.mode != "sliding":
        return kept_px
    return tiling.stride_px or (kept_px // 2 if kept_px % 2 == 0 else kept_px)


def _axis_rule(kept_px: int, tiling: TilingConfig) -> Callable[[int], _Axis]:
    """Return what makes the tiles along an axis of a given length."""
    if tiling.mode == "sliding":
        return lambda length: _sliding_axis(length, kept_px, tiling.padding_px, stride(kept_px, tiling))
    if tiling.border == "shift":
        return lambda length: _shifted_axis(length, kept_px, tiling.padding_px)
    return lambda length: _grid_axis(length, kept_px, tiling.padding_px, complete=tiling.remainder == "covered")


def _grid_axis(length: int, kept_px: int, padding_px: int, *, complete: bool) -> _Axis:
    count = -(-length // kept_px) if complete else length // kept_px
    first = np.arange(count, dtype=np.int64) * kept_px
    start = np.minimum(first, max(length - kept_px, 0))
    return _Axis(start - padding_px, first, np.minimum(first + kept_px, length))


def _shifted_axis(length: int, kept_px: int, padding_px: int) -> _Axis:
    input_px = kept_px + 2 * padding_px
    if length <= input_px:
        window = np.array([-((input_px - length) // 2)], dtype=np.int64)
        return _Axis(window, np.zeros(1, np.int64), np.full(1, length, np.int64))
    count = -(-(length - 2 * padding_px) // kept_px)
    grid = np.arange(count, dtype=np.int64) * kept_px
    inner_edges = grid[1:] + padding_px
    return _Axis(
        window=np.minimum(grid, length - input_px), first=np.append(0, inner_edges), end=np.append(inner_edges, length)
    )


def _sliding_axis(length: int, kept_px: int, padding_px: int, stride_px: int) -> _Axis:
    start = np.arange(stride_px - kept_px, length, stride_px, dtype=np.int64)
    return _Axis(start - padding_px, np.maximum(start, 0), np.minimum(start + kept_px, length))


def batches(plan: TilePlan, batch_size: int) -> list[IntArray]:
    """Return the numbers of the tiles in batches of at most `batch_size`, all as equal as can be.

    Raises
    ------
    ConfigError
        If `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size = {batch_size}: predict at least 1 tile at once, or leave it out")
    tiles = np.arange(len(plan.top), dtype=np.int64)
    return np.array_split(tiles, -(-len(tiles) // batch_size)) if len(tiles) else []
