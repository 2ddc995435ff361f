"""Which window of the frame the network sees for each tile, and which part of its answer is kept.

Adds to the axis letters: T tile. Source: docs/method.md, Tiling.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

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
        Side of the tile: the middle of the window, `padding_px` inside it.
    padding_px
        Rim of the window whose prediction is thrown away.
    top, left : (T,)
        First row and column of each input window in the frame. Windows may lie partly outside it.
    kept : (T, 4)
        Top, left, bottom, right of what each tile contributes to the frame; together they are every pixel once.
    """

    height: int
    width: int
    input_px: int
    kept_px: int
    padding_px: int
    top: IntArray
    left: IntArray
    kept: IntArray

    @property
    def kept_in_window(self) -> IntArray:
        """Top, left, bottom, right of the kept boxes within the input windows, (T, 4)."""
        return self.kept - np.stack((self.top, self.left, self.top, self.left), axis=1)

    @property
    def kept_in_tile(self) -> IntArray:
        """Top, left, bottom, right of the kept boxes within the tiles, (T, 4)."""
        return self.kept_in_window - self.padding_px


def input_size(patch_px: int, tiling: TilingConfig) -> int:
    """Return the side of the input window in px: P with inner padding p, P + 2p with outer."""
    return patch_px + 2 * tiling.padding_px if tiling.mode == "outer" else patch_px


def plan_tiles(height: int, width: int, *, patch_px: int, tiling: TilingConfig, complete: bool = True) -> TilePlan:
    """Cover a frame with tiles.

    Inner padding p keeps P - 2p of an input of P px; outer padding keeps P of an input of P + 2p px. Where the tile
    does not divide the frame, the last row and column of tiles are shifted inwards, to see as much of the frame as the
    others do, and contribute only what the tiles before them have left.

    Parameters
    ----------
    height, width
        Of the frame, in px; it may be smaller than a tile.
    patch_px
        P, the patch size in training.
    tiling
        Mode and padding. `usplit_core.config.check_tiling` tells whether the network can take them.
    complete
        False leaves the remainder out, as the authors' code does, to compare numbers with it.
    """
    input_px = input_size(patch_px, tiling)
    kept_px = input_px - 2 * tiling.padding_px
    rows = _tile_axis(height, kept_px, complete=complete)
    columns = _tile_axis(width, kept_px, complete=complete)
    row, column = (index.ravel() for index in np.indices((len(rows.start), len(columns.start))))
    return TilePlan(
        height=height,
        width=width,
        input_px=input_px,
        kept_px=kept_px,
        padding_px=tiling.padding_px,
        top=rows.start[row] - tiling.padding_px,
        left=columns.start[column] - tiling.padding_px,
        kept=np.stack((rows.first[row], columns.first[column], rows.end[row], columns.end[column]), axis=1),  # (T, 4)
    )


class _Axis(NamedTuple):
    start: IntArray  # of each tile
    first: IntArray  # kept pixel
    end: IntArray  # after the last kept pixel


def _tile_axis(length: int, kept_px: int, *, complete: bool) -> _Axis:
    count = -(-length // kept_px) if complete else length // kept_px
    first = np.arange(count, dtype=np.int64) * kept_px
    return _Axis(
        start=np.minimum(first, max(length - kept_px, 0)),
        first=first,
        end=np.minimum(first + kept_px, length),
    )


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


class TileBatch(NamedTuple):
    """Predicted tiles: their numbers in the plan (T,), and values (T, C, kept_px, kept_px)."""

    numbers: IntArray
    values: NDArray[Any]


def stitch(plan: TilePlan, tiles: Iterable[TileBatch], *, structure_channels: int) -> FloatArray:
    """Put predicted tiles together to a frame (C, Y, X). Pixels that no tile covers are 0.

    Only the frame and one batch of tiles are held in memory.
    """
    frame = np.zeros((structure_channels, plan.height, plan.width), dtype=np.float32)
    kept, kept_in_tile = plan.kept.tolist(), plan.kept_in_tile.tolist()
    for batch in tiles:
        # Slices, not index arrays: copying a tile takes about as long as indexing a few of its pixels.
        for tile, values in zip(batch.numbers.tolist(), batch.values, strict=True):
            top, left, bottom, right = kept[tile]
            tile_top, tile_left, tile_bottom, tile_right = kept_in_tile[tile]
            frame[:, top:bottom, left:right] = values[:, tile_top:tile_bottom, tile_left:tile_right]
    return frame
