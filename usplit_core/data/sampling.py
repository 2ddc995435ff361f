"""Batches of patches, gathered for the whole batch at once on the device that holds the frames.

Level 0 is kept as read, in integers where the file has integers; everything else is worked out
from it after the gather. A training batch is a pure function of seed and step (`usplit_core.data.draws`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from usplit_core.config import DataConfig, RunConfig
from usplit_core.data import mixing, pyramid
from usplit_core.data.draws import draw_patches
from usplit_core.data.levels import Levels, mix
from usplit_core.data.mixing import Statistics
from usplit_core.data.pyramid import Border, Cutter
from usplit_core.data.shared_arrays import ArrayCache
from usplit_core.errors import DataError

#: Pixels of patches that are gathered at once, at least one batch: enough for the time of the gather to be that of its
#: pixels and not of its calls, and few enough to stay in the cache of a processor.
GATHERED_PX = 2**17


class Batch(NamedTuple):
    """A batch in normalised units: input (B, L, P, P), target (B, C, P, P)."""

    input: Tensor
    target: Tensor


class _Place(NamedTuple):
    """Where windows start: frame, row and column in native pixels, integers (B,)."""

    frame: NDArray[Any]
    top: NDArray[Any]
    left: NDArray[Any]


class PatchSource:
    """Frames on a device, and the patches that are cut from them.

    Built by `from_frames` (structure channels: inputs and targets) or `from_images` (superimposed
    images: inputs only).
    """

    def __init__(self, levels: Levels, statistics: Statistics, data: DataConfig, device: torch.device) -> None:
        self._levels = levels
        self._statistics = statistics
        self._data = data
        self._device = device
        place = levels.native.device
        self._weights = torch.tensor(statistics.weights, device=place)[None, :, None, None]  # (1, C, 1, 1)
        target = (statistics.target_mean, statistics.target_std)
        self._target_mean, self._target_std = torch.tensor(target, device=place)[..., None, None]  # (C, 1, 1) each

    @classmethod
    def from_frames(
        cls,
        pixels: NDArray[Any],
        statistics: Statistics,
        data: DataConfig,
        *,
        lc_depth: int,
        device: torch.device | str = "cpu",
        arrays: ArrayCache | None = None,
    ) -> "PatchSource":
        """Put frames of structure channels (N, C, Y, X), raw intensities, on the device.

        What is worked out of them in the memory of the machine is shared by all processes that name the same `arrays`,
        whose origin says which frames these are. Frames that memory need not hold stay where they are: patches are
        gathered there, and brought to the device.

        Raises
        ------
        DataError
            If the frames are too small for `lc_depth`.
        """
        device = torch.device(device)
        is_mapped = arrays is not None and arrays.must_map
        levels = Levels(pixels, statistics, device=torch.device("cpu") if is_mapped else device, arrays=arrays)
        levels.build_context(lc_depth, per_channel=data.mixing_weight_range is not None)
        return cls(levels, statistics, data, device)

    @classmethod
    def from_images(
        cls,
        images: NDArray[Any],
        statistics: Statistics,
        data: DataConfig,
        *,
        lc_depth: int,
        device: torch.device | str = "cpu",
    ) -> "PatchSource":
        """Put superimposed images (N, Y, X), raw intensities, on the device.

        They are clipped at the brightest value that an input had in training.

        Raises
        ------
        DataError
            If the images are too small for `lc_depth`.
        """
        single = mixing.superimposed_statistics(statistics, data)
        device = torch.device(device)
        levels = Levels(images[:, None], single, device=device, arrays=None)
        levels.build_context(lc_depth, per_channel=False)
        return cls(levels, single, data, device)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Frames, structure channels, rows, columns."""
        frames, channels, height, width = self._levels.native.shape
        return frames, channels, height, width

    def training_batches(self, seed: int, steps: Sequence[int], *, batch_size: int, patch_px: int) -> Iterator[Batch]:
        """Yield the random patches of each step: frames and all positions in them are equally likely.

        Small batches are gathered several at once, which changes nothing but the time.

        Raises
        ------
        DataError
            If the frames are smaller than a patch.
        """
        frames, _, height, width = self.shape
        _check_patch(height, width, patch_px)
        limits = (frames, height - patch_px + 1, width - patch_px + 1)
        at_once = max(1, GATHERED_PX // (batch_size * patch_px**2))
        for first in range(0, len(steps), at_once):
            draw = draw_patches(
                seed, steps[first : first + at_once], batch_size=batch_size, limits=limits, data=self._data
            )
            batch = self._batch(_Place(draw.frame, draw.top, draw.left), patch_px, self._weights_of(draw.share))
            if draw.turn is not None:
                turn = torch.from_numpy(draw.turn).to(self._device)
                batch = Batch(_turn(batch.input, turn), _turn(batch.target, turn))
            yield from map(Batch, *(torch.split(images, batch_size) for images in batch))

    def grid_batches(self, *, patch_px: int, batch_size: int) -> Iterator[Batch]:
        """Yield the patches of a grid from the top left of each frame, without the remainder at its right and bottom.

        Raises
        ------
        DataError
            If the frames are smaller than a patch.
        """
        frames, _, height, width = self.shape
        _check_patch(height, width, patch_px)
        grid = np.mgrid[:frames, : height // patch_px, : width // patch_px].reshape(3, -1)
        grid[1:] *= patch_px
        for start in range(0, grid.shape[1], batch_size):
            yield self._batch(_Place(*grid[:, start : start + batch_size]), patch_px, self._weights)

    def windows(
        self, frame: ArrayLike, top: ArrayLike, left: ArrayLike, size_px: int, *, border: Border | None = None
    ) -> Tensor:
        """Return normalised inputs (B, L, size_px, size_px) of windows that may lie outside the frame.

        Parameters
        ----------
        frame, top, left
            Frame, first row and first column in native pixels, integers (B,).
        border
            What lies beyond the frame; None = as in training.
        """
        height, width = self.shape[2:]
        place = _Place(*(np.asarray(index, np.int64) for index in (frame, top, left)))
        outside_px = pyramid.outside(place.top, place.left, size_px, height=height, width=width)
        cutter = self._levels.padded(size_px, outside_px, self._data.border if border is None else border)
        places = cutter.places(*place)
        images, _ = self._primary(cutter, places, self._weights)
        _fill_context(images, cutter, places, self._weights)
        return images.to(self._device)

    def target(self, frame: int) -> Tensor:
        """Return the structure channels (C, Y, X) of a frame, normalised."""
        channels = self._levels.intensities(self._levels.native[frame])
        return mixing.normalise_target(channels, self._statistics).to(self._device)

    def _batch(self, place: _Place, patch_px: int, weights: Tensor) -> Batch:
        cutter = self._levels.padded(patch_px, 0, self._data.border)
        places = cutter.places(*place)
        images, channels = self._primary(cutter, places, weights)
        # Before the context, which takes the place of the channels in the cache of a processor.
        targets = channels.sub_(self._target_mean).div_(self._target_std)
        _fill_context(images, cutter, places, weights)
        return Batch(images.to(self._device), targets.to(self._device))

    def _primary(self, cutter: Cutter, places: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return images (B, L, P, P), of which only the primary patch is there, normalised, and clipped intensities.

        The intensities are those of the structure channels (B, C, P, P).
        """
        native = cutter.windows[0]
        channels = self._levels.intensities(native.index_select(0, places[0]))
        images = channels.new_empty(len(channels), len(places), *native.shape[-2:])
        mixed = mix(channels, weights).sub_(self._statistics.input_mean)
        torch.div(mixed, self._statistics.input_std, out=images[:, 0])
        return images, channels

    def _weights_of(self, share: NDArray[Any] | None) -> Tensor:
        """Return mixing weights (B, C, 1, 1) from the share of the first channel, or (1, C, 1, 1) if they are fixed."""
        if share is None:
            return self._weights
        pair = np.stack(mixing.drawn_weights(share, self._statistics), axis=1)
        return torch.from_numpy(pair)[..., None, None].to(self._weights)


def _fill_context(images: Tensor, cutter: Cutter, places: Tensor, weights: Tensor) -> None:
    """Write the context levels, which are kept normalised, into images (B, L, P, P)."""
    _, *levels = images.unbind(dim=1)
    for level, windows, of_level in zip(levels, cutter.windows[1:], places[1:], strict=True):
        if windows.shape[1] == 1:
            torch.index_select(windows.squeeze(1), 0, of_level, out=level)
        else:
            level.copy_(mix(windows.index_select(0, of_level), weights))


def steps_of_epoch(shape: tuple[int, ...], run: RunConfig) -> int:
    """Return how many steps an epoch has: as the run says, or as many as show every part of the frames once.

    Parameters
    ----------
    shape
        Of the training part, (N, C, Y, X).
    run
        Patch size, batch size and schedule.
    """
    if run.train.steps_per_epoch is not None:
        return run.train.steps_per_epoch
    frames, _, height, width = shape
    patches = frames * (height // run.model.patch_px) * (width // run.model.patch_px)
    return -(-patches // run.train.batch_size)


def _check_patch(height: int, width: int, patch_px: int) -> None:
    if patch_px > min(height, width):
        raise DataError(
            f"model.patch_px = {patch_px} but the frames are {height} x {width} px (y, x): "
            f"lower model.patch_px to at most {min(height, width)}"
        )


def _turn(images: Tensor, turn: Tensor) -> Tensor:
    """Flip and transpose each of the images (B, ..., P, P) as the bits of `turn` (B,) say: 8 symmetries of a square."""
    chosen = turn.reshape(-1, *(1,) * (images.dim() - 1))
    images = torch.where(chosen & 1 > 0, images.flip(-1), images)
    images = torch.where(chosen & 2 > 0, images.flip(-2), images)
    return torch.where(chosen & 4 > 0, images.transpose(-1, -2), images)
