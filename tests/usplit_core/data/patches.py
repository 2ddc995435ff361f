"""Levels, windows of them and single batches, for the tests of this folder."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.data.halving import halve_into
from usplit_core.data.pyramid import Border, cutter, margin_px, outside, pad_frame, padded_shape
from usplit_core.data.sampling import Batch, PatchSource


def batch_of(source: PatchSource, seed: int, step: int, *, batch_size: int, patch_px: int) -> Batch:
    """Return the batch of one step."""
    return next(source.training_batches(seed, [step], batch_size=batch_size, patch_px=patch_px))


def build_pyramid(images: Tensor, lc_depth: int) -> tuple[Tensor, ...]:
    """Return images (N, K, Y, X) and their halves, one tensor a level."""
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


def gather(
    levels: Sequence[Tensor],
    frame: NDArray[Any],
    top: NDArray[Any],
    left: NDArray[Any],
    *,
    size_px: int,
    border: Border,
) -> Tensor:
    """Return, for each window of level 0, the windows of all levels around the same centre, (B, K, L, P, P)."""
    outside_px = outside(top, left, size_px, height=levels[0].shape[-2], width=levels[0].shape[-1])
    padded = []
    for index, level in enumerate(levels):
        padded.append(level.new_empty(padded_shape(level, margin_px(index, size_px, outside_px))))
        for image, target in zip(level, padded[-1], strict=True):
            pad_frame(image, target, border)
    cut = cutter(padded, size_px=size_px, outside_px=outside_px)
    selected = zip(cut.windows, cut.places(frame, top, left), strict=True)
    return torch.stack([windows.index_select(0, places) for windows, places in selected], dim=2)
