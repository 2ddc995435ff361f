"""What neighbouring tiles share in an encoder: the stems' maps of the frame that they all see.

Tiles of one row of a frame overlap, at level l by all but stride / 2^l px. A stem sees a few pixels around each
of its results, so inside this rim its map of a tile is a window of its map of the whole row, which is computed once.
At the sides of a tile, beyond which it sees zeros instead of the frame, the rim is computed for each tile. In
evaluation batch norm is pointwise, so all this is exact.

Adds to the axis letters: T tile of a row.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from usplit_core.models.layers import Stem, memory_order


class InputRow(NamedTuple):
    """Inputs of a batch that lie in one row of a frame, from left to right.

    Parameters
    ----------
    first, end
        Numbers of the inputs in the batch: of the first, and after the last.
    columns
        Of each level, the column at which each input begins, (T,) integers, in pixels of that level.
    """

    first: int
    end: int
    columns: tuple[tuple[int, ...], ...]


def lift(
    stem: Stem, images: Tensor, *, level: int, rows: Sequence[InputRow], kept: tuple[int, int] | None = None
) -> Tensor:
    """Return what a stem makes of a level of the inputs of a batch, computing once what they share.

    Parameters
    ----------
    stem
        A stem in evaluation mode.
    images
        The level of all inputs of the batch, (B, 1, Y, X).
    level
        Which level it is.
    rows
        The rows in which the inputs lie; together they are all inputs, in their order. Empty where this is not known.
    kept
        Central pixels to return, along Y and X; None = all.

    Returns
    -------
    The maps, (B, F, Y, X).
    """
    if not rows:
        alone: Tensor = stem(images, kept)
        return alone
    lifted = [_lift_row(stem, images[row.first : row.end], row.columns[level], kept) for row in rows]
    return lifted[0] if len(lifted) == 1 else torch.cat(lifted)


def _lift_row(stem: Stem, images: Tensor, columns: Sequence[int], kept: tuple[int, int] | None) -> Tensor:
    """Return the maps (T, F, Y, X) of inputs of one row."""
    height, width = images.shape[-2:] if kept is None else kept
    left_px = (images.shape[-1] - width) // 2
    sides = _Sides(stem.reach_px, left_px, images.shape[-1] - width - left_px)
    if not _is_worth_sharing(columns, images.shape[-1], sides):
        alone: Tensor = stem(images, kept)
        return alone
    row = _joined(images, columns)
    row_map = stem(row, None if kept is None else (height, row.shape[-1]))  # (1, F, Y, X)
    maps = torch.empty(
        (len(images), row_map.shape[1], height, width),
        dtype=row_map.dtype,
        device=row_map.device,
        memory_format=memory_order(row_map),
    )
    for one, column in zip(maps, columns, strict=True):
        start = column - columns[0] + left_px
        one.copy_(row_map[0, ..., start : start + width])
    side_kept = None if kept is None else (height, sides.px)
    if sides.left_rim_px:
        side = stem(images[..., : sides.px], side_kept)
        maps[..., : sides.left_rim_px] = side[..., left_px : sides.rim_px]
    if sides.right_rim_px:
        side = stem(images[..., -sides.px :], side_kept)
        maps[..., -sides.right_rim_px :] = side[..., sides.rim_px : sides.rim_px + sides.right_rim_px]
    return maps


class _Sides(NamedTuple):
    """The left and the right of an input: how far zeros beyond them are seen, and how much there is not kept."""

    rim_px: int
    left_px: int
    right_px: int

    @property
    def px(self) -> int:
        """Pixels of the input that its rim depends on."""
        return 2 * self.rim_px

    @property
    def left_rim_px(self) -> int:
        return max(0, self.rim_px - self.left_px)

    @property
    def right_rim_px(self) -> int:
        return max(0, self.rim_px - self.right_px)


def _is_worth_sharing(columns: Sequence[int], input_px: int, sides: _Sides) -> bool:
    """Return whether the inputs join to a row, which with their sides has fewer pixels than they have."""
    if any(right - left > input_px for left, right in pairwise(columns)):
        return False
    of_sides = sides.px * (bool(sides.left_rim_px) + bool(sides.right_rim_px))
    seen = input_px - max(0, sides.left_px - sides.rim_px) - max(0, sides.right_px - sides.rim_px)
    return columns[-1] - columns[0] + input_px + of_sides * len(columns) < seen * len(columns)


def _joined(images: Tensor, columns: Sequence[int]) -> Tensor:
    """Return the part of the frame that inputs (T, 1, Y, X) of a row are windows of, (1, 1, Y, X)."""
    joined = images.new_empty(1, 1, images.shape[-2], columns[-1] - columns[0] + images.shape[-1])
    for image, column in zip(images, columns, strict=True):
        start = column - columns[0]
        joined[0, ..., start : start + image.shape[-1]] = image
    return joined
