"""How much a trial has to compute, counted without its pixels.

The unit is a pass: one patch through the network once. A training step is three passes of each of its
patches, since the backward pass costs about twice the forward pass.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from usplit_core.config import DataConfig, RunConfig, TilingConfig
from usplit_core.data.sampling import steps_of_epoch
from usplit_core.data.splits import split
from usplit_core.inference.tiling import plan_tiles

Shape = tuple[int, int, int, int]

_PASSES_OF_A_STEP = 3


class PartShapes(NamedTuple):
    """The shapes (N, C, Y, X) of the parts of a data set."""

    train: Shape
    validation: Shape
    test: Shape


class TrainingWork(NamedTuple):
    """What one training computes if it is not stopped early."""

    steps_per_epoch: int
    epochs: int
    training_passes: float
    validation_passes: float

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return self.steps_per_epoch * self.epochs

    @property
    def passes(self) -> float:
        """Of training and validation."""
        return self.training_passes + self.validation_passes


def part_shapes(shape: Shape, data: DataConfig) -> PartShapes:
    """Return the shapes of the parts of frames of this shape.

    Raises
    ------
    DataError
        If there are too few frames, rows or columns.
    """
    frames, channels, height, width = shape
    if data.split == "alternating":  # whole frames, which would be copied
        count = split(_nothing((frames, 1, 1, 1)), data)
        sizes = (len(part) for part in (count.train, count.validation, count.test))
        train, validation, test = ((size, channels, height, width) for size in sizes)
    else:
        parts = split(_nothing(shape), data)
        train, validation, test = (_four(part.shape) for part in (parts.train, parts.validation, parts.test))
    return PartShapes(train, validation, test)


def _nothing(shape: Shape) -> np.ndarray[Shape, np.dtype[np.uint8]]:
    """Return pixels of this shape that take no memory."""
    return np.broadcast_to(np.uint8(0), shape)


def _four(shape: tuple[int, ...]) -> Shape:
    frames, channels, height, width = shape
    return frames, channels, height, width


def training_work(run: RunConfig, shapes: PartShapes) -> TrainingWork:
    """Return what the training of `run` computes."""
    steps = steps_of_epoch(shapes.train, run)
    frames, _, height, width = shapes.validation
    patch_px = run.model.patch_px
    validated = frames * (height // patch_px) * (width // patch_px)
    epochs = run.train.epochs
    trained = _PASSES_OF_A_STEP * steps * run.train.batch_size
    return TrainingWork(steps, epochs, float(epochs * trained), float(epochs * validated))


def evaluation_passes(run: RunConfig, tilings: Iterable[TilingConfig], shapes: PartShapes) -> float:
    """Return what the evaluations of one trial compute; each posterior sample counts as a pass."""
    frames, _, height, width = shapes.test
    total = 0.0
    for tiling in tilings:
        plan = plan_tiles(height, width, patch_px=run.model.patch_px, tiling=tiling)
        samples = tiling.samples if run.model.architecture == "hvae" else 1
        total += frames * len(plan.top) * samples * (plan.input_px / run.model.patch_px) ** 2
    return total


def passes_per_step(run: RunConfig) -> float:
    """Return the passes of one optimiser step."""
    return float(_PASSES_OF_A_STEP * run.train.batch_size)


def data_bytes(run: RunConfig, shapes: PartShapes, itemsize: int) -> int:
    """Return how much the images of training and validation take, on a GPU or in what trials of a machine share.

    The native level is kept in the file's type. The levels of lateral context are kept as float32, and a second
    time with what lies beyond the border; together they have a third of the pixels.
    """
    pixels = sum(frames * height * width for frames, _, height, width in (shapes.train, shapes.validation))
    channels = run.model.structure_channels
    context = 0.0
    if run.model.lc_depth:
        context = 4 / 3 * (channels if run.data.mixing_weight_range is not None else 1)
    return int(pixels * (channels * itemsize + 2 * context))
