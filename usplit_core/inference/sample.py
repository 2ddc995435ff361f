"""Which crop of the test frames an evaluation keeps to be looked at."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from usplit_core.data.mixing import Statistics, denormalise_target, prepare, superimpose
from usplit_core.data.sampling import PatchSource
from usplit_core.inference.tiling import FloatArray, IntArray

#: Largest side of the sample crops.
SAMPLE_PX = 256


class Box(NamedTuple):
    """A place in a stack of frames, in px."""

    frame: int
    top: int
    left: int
    height: int
    width: int


def crop_sample(
    box: Box, test: NDArray[Any], statistics: Statistics, target: FloatArray, prediction: FloatArray
) -> dict[str, NDArray[Any]]:
    """Return the crops of input, prediction and target at the sample box, in intensities.

    Parameters
    ----------
    test
        Frames (N, C, Y, X), raw intensities.
    target, prediction
        Of the frame that the box names, (C, Y, X), in normalised units.
    """
    crop = (..., slice(box.top, box.top + box.height), slice(box.left, box.left + box.width))
    prepared = prepare(test[box.frame : box.frame + 1], statistics)  # (1, C, Y, X)
    images = {
        "input": superimpose(prepared, statistics.weights)[0],
        "prediction": denormalise_target(prediction, statistics),
        "target": denormalise_target(target, statistics),
    }
    return {name: np.ascontiguousarray(image[crop], dtype=np.float32) for name, image in images.items()}


def sample_box(source: PatchSource) -> Box:
    """Return the most structured crop of all frames; it depends on nothing but the targets."""
    frames, _, *shape = source.shape
    height, width = (min(SAMPLE_PX, side) for side in shape)
    found = [most_structure(source.target(frame).cpu().numpy(), height, width) for frame in range(frames)]
    frame = int(np.argmax([structure for _, _, structure in found]))
    top, left, _ = found[frame]
    return Box(frame, top, left, height, width)


def most_structure(frame: NDArray[Any], height: int, width: int) -> tuple[int, int, float]:
    """Find the crop of a frame (C, Y, X) with most structure in all channels.

    Crops are looked for at every eighth of their size. Structure is the product of the channels' standard deviations in
    the crop, so the scale of a channel does not matter, and a crop with an empty channel has none.

    Returns
    -------
    Top and left of the crop, and its structure.
    """
    tops, lefts = _crop_starts(frame.shape[-2], height), _crop_starts(frame.shape[-1], width)
    values = frame.astype(np.float64)
    means = _box_means(values, tops, lefts, height, width)  # (C, tops, lefts)
    variances = _box_means(np.square(values), tops, lefts, height, width) - np.square(means)
    structure = np.sqrt(np.maximum(variances, 0)).prod(axis=0)
    row, column = np.unravel_index(np.argmax(structure), structure.shape)
    return int(tops[row]), int(lefts[column]), float(structure[row, column])


def _crop_starts(length: int, crop_px: int) -> IntArray:
    last = length - crop_px
    return np.append(np.arange(0, last, max(crop_px // 8, 1)), last)


def _box_means(
    image: NDArray[np.float64], tops: IntArray, lefts: IntArray, height: int, width: int
) -> NDArray[np.float64]:
    """Return the means of boxes at each top and left, from one summed-area table."""
    table = np.pad(image.cumsum(axis=-2).cumsum(axis=-1), ((0, 0), (1, 0), (1, 0)))
    bottom, right = tops[:, None] + height, lefts[None] + width
    sums = table[:, bottom, right] - table[:, tops[:, None], right] - table[:, bottom, lefts[None]]
    return np.asarray(sums + table[:, tops[:, None], lefts[None]]) / (height * width)
