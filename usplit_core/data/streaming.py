"""The lateral-context pyramid of a superimposed image that is never held as a whole.

Of each level only the rows are kept that the windows of a batch see, or that the next level is still to
be made of. For windows asked for from top to bottom every row is read once, and memory is that of a
few hundred rows. The numbers are those of `usplit_core.data.sampling.PatchSource.from_images`, bit for
bit (docs/method.md, Lateral context).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.config import DataConfig
from usplit_core.data import mixing, pyramid
from usplit_core.data.halving import halve_rows, take, taps
from usplit_core.data.mixing import Statistics
from usplit_core.data.pyramid import Border

#: Reads rows of one image: first row and the one after the last -> (rows, X), raw intensities.
ReadRows = Callable[[int, int], NDArray[Any]]


class _Held(NamedTuple):
    """Rows of one level, from row `first` on, prepared intensities (1, rows, X)."""

    first: int
    rows: Tensor

    @property
    def end(self) -> int:
        return self.first + self.rows.shape[-2]


class StreamedImage:
    """Windows of one superimposed image and its lateral context, read as they are needed."""

    def __init__(
        self,
        read: ReadRows,
        shape: tuple[int, int],
        statistics: Statistics,
        data: DataConfig,
        *,
        border: Border,
        lc_depth: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take an image of `shape` (Y, X); other arguments as in `PatchSource.from_images`.

        Raises
        ------
        DataError
            If the image is too small for `lc_depth`.
        """
        height, width = shape
        pyramid.check_depth(height, width, lc_depth)
        self._read = read
        self._sizes = [(height >> level, width >> level) for level in range(lc_depth + 1)]
        self._statistics = mixing.superimposed_statistics(statistics, data)
        self._border = border
        self._device = device
        self._background: NDArray[Any] | None = None
        if statistics.background_quantile:
            # A quantile needs all pixels at once.
            self._background = np.asarray(np.quantile(read(0, height), statistics.background_quantile))
        self._held = [_Held(0, torch.empty(1, 0, size[1])) for size in self._sizes]

    def windows(self, top: NDArray[Any], left: NDArray[Any], size_px: int) -> Tensor:
        """Return normalised inputs (B, L, size_px, size_px) of windows that may lie outside the image.

        Parameters
        ----------
        top, left
            First row and column in native pixels, integers (B,).
        """
        tops = [pyramid.level_start(top, size_px, level) for level in range(len(self._sizes))]
        lefts = [pyramid.level_start(left, size_px, level) for level in range(len(self._sizes))]
        self._hold([self._inside(rows, size_px, size[0]) for rows, size in zip(tops, self._sizes, strict=True)])
        levels = [self._cut(level, tops[level], lefts[level], size_px) for level in range(len(self._sizes))]
        return mixing.normalise_input(torch.stack(levels, dim=1), self._statistics).to(self._device)

    def _inside(self, starts: NDArray[Any], size_px: int, length: int) -> tuple[int, int]:
        """Return the first pixel of an axis that windows see, and the one after the last, reflections followed."""
        seen = self._fold(int(starts.min()), int(starts.max()) + size_px, length)
        return int(seen.min()), int(seen.max()) + 1

    def _fold(self, start: int, end: int, length: int) -> Tensor:
        """Return which pixel of an axis is shown at each place from `start` to `end`."""
        places = torch.arange(start, end)
        return pyramid.reflect(places, length) if self._border == "reflect" else places.clamp(0, length - 1)

    def _hold(self, wanted: list[tuple[int, int]]) -> None:
        """Bring the wanted rows of every level into memory, and forget those above that nothing needs any more."""
        missing: list[tuple[int, int]] = [(0, 0)] * len(wanted)
        for level in reversed(range(len(wanted))):
            first, end = wanted[level]
            if level + 1 < len(wanted) and missing[level + 1][0] < missing[level + 1][1]:
                needed = taps(self._sizes[level][0], *missing[level + 1])
                first, end = min(first, needed[0]), max(end, needed[1])
            held = self._held[level]
            if not held.first <= first <= held.end:
                self._held[level] = held = _Held(first, held.rows[:, :0])
            self._held[level] = held = _Held(first, held.rows[:, first - held.first :])
            missing[level] = (held.end, max(end, held.end))
        for level, (top, bottom) in enumerate(missing):
            if top < bottom:
                held = self._held[level]
                self._held[level] = _Held(held.first, torch.cat([held.rows, self._make(level, top, bottom)], dim=1))

    def _make(self, level: int, top: int, bottom: int) -> Tensor:
        """Return rows of a level: read, or made of the level before."""
        if level:
            before = self._held[level - 1]
            height = self._sizes[level - 1][0]
            return halve_rows(before.rows, before.first, height, top=top, bottom=bottom)
        rows = self._read(top, bottom)
        if self._background is not None:
            rows = mixing.subtract_background(rows, self._background)
        prepared = np.minimum(rows.astype(np.float32), np.float32(self._statistics.clip[0]))
        return torch.from_numpy(prepared)[None]

    def _cut(self, level: int, top: NDArray[Any], left: NDArray[Any], size_px: int) -> Tensor:
        """Return windows (B, size_px, size_px) of a level in intensities."""
        height, width = self._sizes[level]
        held = self._held[level]
        first_row, first_column = int(top.min()), int(left.min())
        last_row, last_column = int(top.max()) + size_px, int(left.max()) + size_px
        rows = self._fold(first_row, last_row, height) - held.first
        columns = self._fold(first_column, last_column, width)
        seen = take(take(held.rows, rows, -2), columns, -1)  # (1, Y, X)
        if self._border == "constant":
            seen[:, _beyond(first_row, last_row, height)] = 0
            seen[:, :, _beyond(first_column, last_column, width)] = 0
        frame = torch.zeros(len(top), dtype=torch.int64)
        from_top, from_left = torch.from_numpy(top - first_row), torch.from_numpy(left - first_column)
        return pyramid.cut_level(seen[None], frame, from_top, from_left, size_px)[:, 0]


def _beyond(start: int, end: int, length: int) -> Tensor:
    places = torch.arange(start, end)
    return (places < 0) | (places >= length)
