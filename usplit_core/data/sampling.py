"""Batches of patches, gathered for the whole batch at once on the device that holds the frames.

Level 0 is kept as read, in integers where the file has integers; everything else is worked out
from it after the gather. A training batch is a pure function of seed and step: a resumed training
goes on with the batch it would have seen, and trials that share a seed see the same patches.
"""

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from usplit_core.config import DataConfig, RunConfig
from usplit_core.data import mixing, pyramid
from usplit_core.data.mixing import Statistics
from usplit_core.data.pyramid import Border, Cutter
from usplit_core.errors import DataError


class Batch(NamedTuple):
    """A batch in normalised units: input (B, L, P, P), target (B, C, P, P)."""

    input: Tensor
    target: Tensor


class _Place(NamedTuple):
    """Where windows start: frame, row and column in native pixels, integers (B,)."""

    frame: NDArray[Any]
    top: NDArray[Any]
    left: NDArray[Any]


class _Padded(NamedTuple):
    """The levels with what lies beyond the frame, for windows of one size; context is normalised already."""

    size_px: int
    outside_px: int
    border: Border
    levels: Cutter


class PatchSource:
    """Frames on a device, and the patches that are cut from them.

    Built by `from_frames` (structure channels: inputs and targets) or `from_images` (superimposed
    images: inputs only).
    """

    def __init__(self, pixels: NDArray[Any], statistics: Statistics, data: DataConfig, device: torch.device) -> None:
        channels = mixing.remove_background(pixels, statistics.background_quantile)
        self._dtype, native = _store(channels)
        self._native = native.to(device)  # (N, C, Y, X)
        self._context: tuple[Tensor, ...] = ()  # levels 1 …, (N, 1 or C, Y, X)
        self._statistics = statistics
        self._data = data
        self._clip = torch.tensor(statistics.clip, device=device)[:, None, None]  # (C, 1, 1)
        self._weights = torch.tensor(statistics.weights, device=device)[None, :, None, None]  # (1, C, 1, 1)
        target = (statistics.target_mean, statistics.target_std)
        self._target_mean, self._target_std = torch.tensor(target, device=device)[..., None, None]  # (C, 1, 1) each
        self._padded: _Padded | None = None

    @classmethod
    def from_frames(
        cls,
        pixels: NDArray[Any],
        statistics: Statistics,
        data: DataConfig,
        *,
        lc_depth: int,
        device: torch.device | str = "cpu",
    ) -> "PatchSource":
        """Put frames of structure channels (N, C, Y, X), raw intensities, on the device.

        Raises
        ------
        DataError
            If the frames are too small for `lc_depth`.
        """
        source = cls(pixels, statistics, data, torch.device(device))
        source._build_context(lc_depth, per_channel=data.mixing_weight_range is not None)
        return source

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
        single = mixing.superimposed_statistics(statistics)
        source = cls(images[:, None], single, data, torch.device(device))
        source._build_context(lc_depth, per_channel=False)
        return source

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Frames, structure channels, rows, columns."""
        frames, channels, height, width = self._native.shape
        return frames, channels, height, width

    def training_batch(self, seed: int, step: int, *, batch_size: int, patch_px: int) -> Batch:
        """Return the random patches of one step: frames and all positions in them are equally likely.

        Raises
        ------
        DataError
            If the frames are smaller than a patch.
        """
        frames, _, height, width = self.shape
        _check_patch(height, width, patch_px)
        # A counter-based generator: its key makes each pair of seed and step a stream of its own.
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, step], np.uint64)))
        frame = generator.integers(frames, size=batch_size)
        top = generator.integers(height - patch_px + 1, size=batch_size)
        left = generator.integers(width - patch_px + 1, size=batch_size)
        batch = self._batch(_Place(frame, top, left), patch_px, self._draw_weights(generator, batch_size))
        if self._data.augment:
            turn = torch.from_numpy(generator.integers(8, size=batch_size)).to(self._native.device)
            return Batch(_turn(batch.input, turn), _turn(batch.target, turn))
        return batch

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
        padded = self._pad(size_px, outside_px, self._data.border if border is None else border)
        images, _ = self._gather(place, padded, self._weights)
        return images

    def target(self, frame: int) -> Tensor:
        """Return the structure channels (C, Y, X) of a frame, normalised."""
        return mixing.normalise_target(self._prepare(self._native[frame]), self._statistics)

    def _build_context(self, lc_depth: int, *, per_channel: bool) -> None:
        pyramid.check_depth(*self.shape[2:], lc_depth)
        if lc_depth == 0:
            return
        for index, frame in enumerate(self._native):  # one at a time: only one frame is held in floating point
            images = self._prepare(frame)[None]
            if not per_channel:  # halving is linear: with fixed weights, the superimposed image is enough
                images = _mix(images, self._weights)[:, None]
            levels = pyramid.build_pyramid(images, lc_depth)[1:]
            if index == 0:
                self._context = tuple(level.new_empty(len(self._native), *level.shape[1:]) for level in levels)
            for whole, level in zip(self._context, levels, strict=True):
                whole[index] = level[0]

    def _prepare(self, native: Tensor) -> Tensor:
        """Return stored pixels (..., C, Y, X) as clipped intensities."""
        return torch.minimum(native.view(self._dtype).to(torch.float32), self._clip)

    def _batch(self, place: _Place, patch_px: int, weights: Tensor) -> Batch:
        images, channels = self._gather(place, self._pad(patch_px, 0, self._data.border), weights)
        return Batch(images, channels.sub_(self._target_mean).div_(self._target_std))

    def _gather(self, place: _Place, padded: _Padded, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised inputs (B, L, P, P) and clipped intensities of the structure channels (B, C, P, P)."""
        (native, *context), (of_native, *places) = padded.levels.windows, padded.levels.places(*place).unbind()
        channels = self._prepare(native.index_select(0, of_native))
        images = channels.new_empty(len(channels), 1 + len(context), *native.shape[-2:])  # (B, L, P, P)
        primary, *levels = images.unbind(dim=1)
        mixed = _mix(channels, weights).sub_(self._statistics.input_mean)
        torch.div(mixed, self._statistics.input_std, out=primary)
        for level, windows, of_level in zip(levels, context, places, strict=True):
            if windows.shape[1] == 1:
                torch.index_select(windows.squeeze(1), 0, of_level, out=level)
            else:
                level.copy_(_mix(windows.index_select(0, of_level), weights))
        return images, channels

    def _pad(self, size_px: int, outside_px: int, border: Border) -> _Padded:
        """Return the padded levels; they are kept until a window needs others or reaches further out."""
        known = self._padded
        if known is None or (known.size_px, known.border) != (size_px, border) or known.outside_px < outside_px:
            sizes = {"size_px": size_px, "outside_px": outside_px}
            native = pyramid.pad_levels((self._native,), **sizes, border=border)
            context = pyramid.pad_levels(self._context, **sizes, border=border, first=1)
            for level in context:
                self._normalise_context(level)
            known = _Padded(size_px, outside_px, border, pyramid.cutter((*native, *context), **sizes))
            self._padded = known
        return known

    def _normalise_context(self, level: Tensor) -> None:
        """Normalise a context level in place; mixing weights always have the same sum, so each share of it is known."""
        share = 1.0 if level.shape[1] == 1 else 1 / sum(self._statistics.weights)
        level.sub_(self._statistics.input_mean * share).div_(self._statistics.input_std)

    def _draw_weights(self, generator: np.random.Generator, batch_size: int) -> Tensor:
        """Return mixing weights (B, C, 1, 1), or (1, C, 1, 1) where they are fixed."""
        if self._data.mixing_weight_range is None:
            return self._weights
        first = generator.uniform(*self._data.mixing_weight_range, size=batch_size)
        pair = np.stack([first, 1 - first], axis=1) * sum(self._statistics.weights)
        return torch.from_numpy(pair)[..., None, None].to(self._weights)


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


def _store(pixels: NDArray[Any]) -> tuple[torch.dtype, Tensor]:
    """Return pixels as a tensor that every device can index, and the type to view it as."""
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if native.dtype == np.uint16:
        # Few operations exist for unsigned 16-bit tensors: the bits are moved as signed ones.
        return torch.uint16, _wrap(np.ascontiguousarray(native).view(np.int16))
    lossless = {np.dtype(np.uint32): np.int64, np.dtype(np.float64): np.float32, np.dtype(np.float16): np.float32}
    stored = _wrap(np.ascontiguousarray(native, lossless.get(native.dtype, native.dtype)))
    return stored.dtype, stored


def _wrap(pixels: NDArray[Any]) -> Tensor:
    """Return a tensor on the memory of `pixels`, which may be read-only: frames that processes share are not copied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nor is it written to
        return torch.from_numpy(pixels)


def _mix(channels: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum (B, Y, X) of images (B, C, Y, X) over channels, with weights (B or 1, C, 1, 1)."""
    (first, *others), (weight, *weights_of_others) = channels.unbind(dim=1), weights.unbind(dim=1)
    mixed = first * weight
    for image, share in zip(others, weights_of_others, strict=True):
        mixed.addcmul_(image, share)
    return mixed


def _turn(images: Tensor, turn: Tensor) -> Tensor:
    """Flip and transpose each of the images (B, ..., P, P) as the bits of `turn` (B,) say: 8 symmetries of a square."""
    chosen = turn.reshape(-1, *(1,) * (images.dim() - 1))
    images = torch.where(chosen & 1 > 0, images.flip(-1), images)
    images = torch.where(chosen & 2 > 0, images.flip(-2), images)
    return torch.where(chosen & 4 > 0, images.transpose(-1, -2), images)
