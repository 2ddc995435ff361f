"""The levels that patches are cut from, on the device that holds the frames (docs/method.md, Lateral context).

Level 0 is kept as read, in integers where the file has integers; context levels are floating-point images with what
lies beyond the border. In the memory of a machine they are shared by the processes that train on the same frames.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.data import halving, pyramid
from usplit_core.data.mixing import Statistics
from usplit_core.data.native import keep_native, wrap
from usplit_core.data.pyramid import Border, Cutter
from usplit_core.data.shared_arrays import ArrayCache, shared_array

#: The statistics that enter the levels.
_ENTERING = ("clip", "background_quantile", "weights", "input_mean", "input_std")


class _Padded(NamedTuple):
    """The levels with what lies beyond the frame, for windows of one size; context is normalised already."""

    size_px: int
    outside_px: int
    border: Border
    levels: Cutter


class Levels:
    """Frames (N, C, Y, X) and their lateral context."""

    def __init__(
        self, pixels: NDArray[Any], statistics: Statistics, *, device: torch.device, arrays: ArrayCache | None
    ) -> None:
        """Take raw intensities; `arrays` is where levels are shared, in the memory of the machine."""
        self._dtype, native = keep_native(pixels, statistics.background_quantile, arrays)
        self.native = native.to(device)  # (N, C, Y, X)
        self._arrays = arrays if device.type == "cpu" else None
        self._statistics = statistics
        self._clip = torch.tensor(statistics.clip, device=device)[:, None, None]  # (C, 1, 1)
        self._weights = torch.tensor(statistics.weights, device=device)[None, :, None, None]  # (1, C, 1, 1)
        self._lc_depth = 0
        self._per_channel = False
        self._context: dict[int, Tensor] = {}  # levels 1 … that are not shared, (N, 1 or C, Y, X)
        self._padded: _Padded | None = None

    def build_context(self, lc_depth: int, *, per_channel: bool) -> None:
        """Halve the superimposed images, or each channel of them.

        Raises
        ------
        DataError
            If the frames are too small for `lc_depth`.
        """
        height, width = self.native.shape[2:]
        pyramid.check_depth(height, width, lc_depth)
        self._lc_depth, self._per_channel = lc_depth, per_channel
        for level in range(1, lc_depth + 1):
            self._level(level)

    def intensities(self, native: Tensor) -> Tensor:
        """Return stored pixels (..., C, Y, X) as clipped intensities."""
        intensities = native.view(self._dtype).to(torch.float32, copy=True)
        return torch.minimum(intensities, self._clip, out=intensities)

    def padded(self, size_px: int, outside_px: int, border: Border) -> Cutter:
        """Return the padded levels; they are kept until a window needs others or reaches further out."""
        known = self._padded
        if known is None or (known.size_px, known.border) != (size_px, border) or known.outside_px < outside_px:
            sizes = {"size_px": size_px, "outside_px": outside_px}
            margins = [pyramid.margin_px(level, **sizes) for level in range(self._lc_depth + 1)]
            levels = [self._pad(level, margin, border) for level, margin in enumerate(margins)]
            self._padded = known = _Padded(size_px, outside_px, border, pyramid.cutter(levels, **sizes))
        return known.levels

    def _pad(self, level: int, margin: int, border: Border) -> Tensor:
        """Return a level with what lies beyond its border; context is normalised."""
        inner = self._level(level)
        if margin == 0:
            return inner
        # Mixing weights always have the same sum, so the share of each channel in the mean is known.
        share = 1 / sum(self._statistics.weights) if self._per_channel else 1.0

        def fill(into: Tensor) -> None:
            for frame, target in zip(inner, into, strict=True):
                pyramid.pad_frame(frame, target, border)
                if level:
                    target.sub_(self._statistics.input_mean * share).div_(self._statistics.input_std)

        origin = {"level": level, "margin_px": margin, "border": border}
        return self._array(pyramid.padded_shape(inner, margin), inner.dtype, origin, fill)[0]

    def _level(self, level: int) -> Tensor:
        """Return level 0 as it is stored, or a context level (N, 1 or C, Y, X) in intensities."""
        if level == 0:
            return self.native
        known = self._context.get(level)
        if known is not None:
            return known
        finer = self._level(level - 1)
        frames, channels, height, width = self.native.shape

        def fill(into: Tensor) -> None:
            for frame, target in zip(finer, into, strict=True):
                rows = partial(self._rows, frame, level)
                halving.halve_into(target, rows, *frame.shape[-2:])

        shape = (frames, channels if self._per_channel else 1, height >> level, width >> level)
        made, is_shared = self._array(shape, torch.float32, {"level": level}, fill)
        if not is_shared:
            self._context[level] = made
        return made

    def _rows(self, finer: Tensor, level: int, first: int, last: int) -> Tensor:
        """Return what rows of a level are made of: those of the level before, (1 or C, rows, X), in intensities."""
        rows = finer[:, first:last]
        return rows if level > 1 else self._superimposed(rows)

    def _superimposed(self, frame: Tensor) -> Tensor:
        """Return what the context of a stored frame is made of: one image, or its channels, (1 or C, Y, X)."""
        channels = self.intensities(frame)
        # Halving is linear: with fixed weights, the superimposed image is enough.
        return channels if self._per_channel else mix(channels[None], self._weights)

    def _array(
        self, shape: tuple[int, ...], dtype: torch.dtype, origin: dict[str, Any], fill: Callable[[Tensor], None]
    ) -> tuple[Tensor, bool]:
        """Return a filled tensor, and whether other processes share it; `origin` and the statistics decide it."""
        if self._arrays is None:
            own = torch.empty(shape, dtype=dtype, device=self.native.device)
            fill(own)
            return own, False
        numbers = {name: getattr(self._statistics, name) for name in _ENTERING}
        array = shared_array(
            self._arrays.of(per_channel=self._per_channel, statistics=numbers, **origin),
            shape,
            torch.empty(0, dtype=dtype).numpy().dtype,
            lambda into: fill(torch.from_numpy(into)),
        )
        return wrap(array), isinstance(array, np.memmap)


def mix(channels: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum (B, Y, X) of images (B, C, Y, X) over channels, with weights (B or 1, C, 1, 1)."""
    (first, *others), (weight, *weights_of_others) = channels.unbind(dim=1), weights.unbind(dim=1)
    mixed = first * weight
    for image, share in zip(others, weights_of_others, strict=True):
        mixed.addcmul_(image, share)
    return mixed
