"""Predicted tiles put together to a frame, row by row: only the rows that tiles still reach are held in memory.

Adds to the axis letters: T tile. Source: docs/method.md, Tiling.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from usplit_core.inference.tiling import FloatArray, IntArray, TilePlan


class TileBatch(NamedTuple):
    """Predicted tiles.

    Parameters
    ----------
    numbers : (T,)
        Of the tiles in their plan.
    values : (T, C, kept_px, kept_px)
        Means of the samples.
    scatter : (T, C, kept_px, kept_px)
        Sums of squared deviations of the samples from their mean; None where there is one sample.
    samples
        Posterior samples of each tile.
    """

    numbers: IntArray
    values: NDArray[Any]
    scatter: NDArray[Any] | None = None
    samples: int = 1


class Rows(NamedTuple):
    """Finished rows of a frame.

    Parameters
    ----------
    top
        First of them.
    mean : (C, rows, X)
        Mean of all predictions of a pixel; 0 where there is none.
    std : (C, rows, X)
        Their standard deviation (unbiased variance); None where every pixel is predicted once.
    """

    top: int
    mean: FloatArray
    std: FloatArray | None


def stitch_rows(
    plan: TilePlan, tiles: Iterable[TileBatch], *, structure_channels: int, samples: int = 1, first_row: int = 0
) -> Iterator[Rows]:
    """Put predicted tiles together, and yield rows as soon as no tile to come reaches them.

    Parameters
    ----------
    plan
        The tiles of the frame.
    tiles
        All tiles that reach `first_row` or below, in the order of the plan.
    structure_channels
        C.
    samples
        Posterior samples of each tile.
    first_row
        Rows above are left out.
    """
    band = _Band(structure_channels, plan.width, first_row, with_std=samples * plan.coverage > 1)
    kept, kept_in_tile = plan.kept, plan.kept_in_tile
    for batch in tiles:
        for index, tile in enumerate(batch.numbers.tolist()):
            scatter = None if batch.scatter is None else batch.scatter[index]
            place = (kept[tile].tolist(), kept_in_tile[tile].tolist())
            band.add(place, batch.values[index], scatter, batch.samples)
        following = int(batch.numbers[-1]) + 1
        finished = int(kept[following, 0]) if following < len(kept) else plan.height
        if finished > band.top:
            yield band.take(finished)
    if band.top < plan.height:
        yield band.take(plan.height)


def stitch(plan: TilePlan, tiles: Iterable[TileBatch], *, structure_channels: int) -> FloatArray:
    """Put predicted tiles together to a frame (C, Y, X). Pixels that no tile covers are 0."""
    rows = [part.mean for part in stitch_rows(plan, tiles, structure_channels=structure_channels)]
    return np.concatenate(rows, axis=1)


class _Band:
    """Rows from `top` on that tiles are being written to: number, mean and scatter of the predictions so far."""

    def __init__(self, structure_channels: int, width: int, top: int, *, with_std: bool) -> None:
        self.top = top
        self._with_std = with_std
        self._count = np.zeros((0, width), np.float32)
        self._mean = np.zeros((structure_channels, 0, width), np.float32)
        self._scatter = np.zeros((structure_channels, 0, width), np.float32)

    def add(
        self, place: tuple[list[int], list[int]], values: NDArray[Any], scatter: NDArray[Any] | None, samples: int
    ) -> None:
        """Merge a tile (C, Y, X) into the rows: its box in the frame, and in the tile."""
        (top, left, bottom, right), (tile_top, tile_left, tile_bottom, tile_right) = place
        hidden = max(0, self.top - top)  # rows that were taken, or left out, before
        if bottom <= top + hidden:
            return
        self._extend(bottom)
        # Slices, not index arrays: copying a tile takes about as long as indexing a few of its pixels.
        here = (..., slice(top + hidden - self.top, bottom - self.top), slice(left, right))
        there = (..., slice(tile_top + hidden, tile_bottom), slice(tile_left, tile_right))
        # Pooled mean and scatter of two sets of samples (Chan, Golub and LeVeque 1983).
        before = self._count[here]
        after = before + samples
        step = values[there] - self._mean[here]  # (C, Y, X)
        if self._with_std:
            self._scatter[here] += np.square(step) * (before * samples / after)
            if scatter is not None:
                self._scatter[here] += scatter[there]
        self._mean[here] += step * (samples / after)
        self._count[here] = after

    def take(self, end: int) -> Rows:
        """Hand out the rows above `end`, and forget them."""
        self._extend(end)
        rows = end - self.top
        std = None
        if self._with_std:
            std = np.sqrt(self._scatter[:, :rows] / np.maximum(self._count[:rows] - 1, 1))
        taken = Rows(self.top, self._mean[:, :rows].copy(), std)
        self.top = end
        self._count = self._count[rows:].copy()
        self._mean = self._mean[:, rows:].copy()
        self._scatter = self._scatter[:, rows:].copy()
        return taken

    def _extend(self, end: int) -> None:
        missing = end - self.top - self._count.shape[0]
        if missing > 0:
            self._count = np.pad(self._count, ((0, missing), (0, 0)))
            self._mean = np.pad(self._mean, ((0, 0), (0, missing), (0, 0)))
            self._scatter = np.pad(self._scatter, ((0, 0), (0, missing), (0, 0)))
