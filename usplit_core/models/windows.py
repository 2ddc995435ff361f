"""Which part of each map of the decoder reaches the pixels that are looked at.

A level with lateral context keeps the size of its map by cropping it to the centre (docs/method.md,
Networks). What is cropped away need not have been computed, except for the rim that convolutions
carry inwards; and where the margin of a tile is thrown away, less is needed still. In evaluation
batch norm is pointwise, so leaving these pixels out changes no other pixel.

All windows lie in the centre of their map; sizes are in pixels of that map, along one axis.
"""

from collections.abc import Sequence
from typing import NamedTuple

#: Rims are in pixels on both sides together. Final block (two 3×3 convolutions) and likelihood:
_FINAL_RIM_PX, _HEAD_RIM_PX = 6, 2
#: Posterior merge (two convolutions), posterior head, output of the latent, skip merge (two convolutions).
_LEVEL_RIM_PX = 12
#: From the latent on: its output and skip merge; at the top level its output alone.
_LATENT_RIM_PX, _TOP_LATENT_RIM_PX = 6, 2
#: Transposed convolution, and behind it a residual block, which sees the doubled map.
_DOUBLING_RIM_PX = 4


class Window(NamedTuple):
    """What a level of the decoder computes: centre of its maps, of its latent, and of the result that is doubled."""

    entering: int
    latent: int
    leaving: int


class Windows(NamedTuple):
    """Windows of all levels from the bottom, what enters and leaves the final block, and what is kept in the end."""

    levels: tuple[Window, ...]
    final: int
    head: int
    kept: int


def whole_windows(sizes: Sequence[int], crops: Sequence[bool], margin_px: int) -> Windows:
    """Return windows that compute everything.

    Parameters
    ----------
    sizes
        Of the map of each level, from the bottom.
    crops
        Whether the level crops its map to half the size before doubling it.
    margin_px
        Pixels to leave out on each side of the prediction.
    """
    levels = tuple(
        Window(size, size, size // 2 if is_half else size) for size, is_half in zip(sizes, crops, strict=True)
    )
    final = 2 * levels[0].leaving
    return Windows(levels, final, final, final - 2 * margin_px)


def needed_windows(sizes: Sequence[int], crops: Sequence[bool], margin_px: int) -> Windows:
    """Return windows that compute no more than the kept pixels depend on; arguments as in `whole_windows`."""
    whole = whole_windows(sizes, crops, margin_px)
    final = needed = min(whole.final, whole.kept + _FINAL_RIM_PX)
    levels = []
    for window in whole.levels:
        is_top = window is whole.levels[-1]
        leaving = -(-needed // 2) + _DOUBLING_RIM_PX
        leaving = min(window.leaving, leaving + (window.leaving - leaving) % 2)  # of one centre with the whole map
        latent = min(window.entering, leaving + (_TOP_LATENT_RIM_PX if is_top else _LATENT_RIM_PX))
        needed = min(window.entering, leaving + _LEVEL_RIM_PX)
        levels.append(Window(needed, latent, leaving))
    return Windows(tuple(levels), final, min(final, whole.kept + _HEAD_RIM_PX), whole.kept)
