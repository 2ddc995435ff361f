"""Which pixels train, which steer the training and which are kept for the test (docs/method.md, Data).

Parts are views of the frames where that is possible: no pixel belongs to two of them.
"""

import math
from typing import Any, NamedTuple

from numpy.typing import NDArray

from usplit_core.config import DataConfig
from usplit_core.data.shared_arrays import ArrayCache, shared_array
from usplit_core.errors import DataError

#: From this many frames on, ``split = "auto"`` splits by frame.
FRAMES_FOR_SPLIT_BY_FRAME = 5

#: Frames in a row that go to the same part where validation and test alternate, as the paper does with PaviaATN.
ALTERNATING_RUN = 3


class Parts(NamedTuple):
    """Frames (N, C, Y, X) of each part, and how they were chosen, as JSON-able numbers and texts.

    What is worked out of them is shared with other processes through `arrays`; None = it is this process's own.
    """

    train: NDArray[Any]
    validation: NDArray[Any]
    test: NDArray[Any]
    record: dict[str, Any]
    arrays: ArrayCache | None = None

    def arrays_of(self, part: str) -> ArrayCache | None:
        """Return where that of one part is shared."""
        return None if self.arrays is None else self.arrays.of(split=self.record, part=part)


def split(pixels: NDArray[Any], config: DataConfig, arrays: ArrayCache | None = None) -> Parts:
    """Split frames into training, validation and test parts.

    Parameters
    ----------
    pixels
        Frames (N, C, Y, X).
    config
        `split`, `region_axis` and the two fractions are used.
    arrays
        Where processes that split the same frames share what they make of them; its origin names the frames.

    Raises
    ------
    DataError
        If there are too few frames, or too few rows or columns, for three parts.
    """
    rule = config.split
    if rule == "auto":
        rule = "frame" if len(pixels) >= FRAMES_FOR_SPLIT_BY_FRAME else "region"
    if rule == "region":
        return _split_by_region(pixels, config)._replace(arrays=arrays)
    return _split_by_frame(pixels, rule, config, arrays)


def check_size(parts: Parts, patch_px: int) -> None:
    """Refuse parts whose frames are smaller than a patch.

    Raises
    ------
    DataError
        With the sizes and what to change.
    """
    for name in ("train", "validation", "test"):
        height, width = getattr(parts, name).shape[-2:]
        if min(height, width) >= patch_px:
            continue
        remedy = f"lower model.patch_px to at most {min(height, width)}"
        if parts.record["rule"] == "region":
            other = "x" if parts.record["region_axis"] == "y" else "y"
            what = "data.validation_fraction and data.test_fraction" if name == "train" else f"data.{name}_fraction"
            remedy += f", {'lower' if name == 'train' else 'raise'} {what}, or set data.region_axis to '{other}'"
        raise DataError(
            f"the {name} frames are {height} x {width} px (y, x), smaller than model.patch_px = {patch_px}: {remedy}"
        )


def _split_by_frame(pixels: NDArray[Any], rule: str, config: DataConfig, arrays: ArrayCache | None) -> Parts:
    count = len(pixels)
    validation_count = _share(count, config.validation_fraction)
    test_count = _share(count, config.test_fraction)
    if count - validation_count - test_count < 1:
        raise DataError(
            f"{count} {'frame' if count == 1 else 'frames'} for data.split = {rule!r}, which needs one for each of "
            "training, validation and test: set data.split to 'region', lower the fractions, or give more frames"
        )
    if rule == "frame":
        test = list(range(test_count))
        validation = list(range(test_count, test_count + validation_count))
    else:
        validation, test = _alternate(validation_count, test_count)
    train = list(range(validation_count + test_count, count))
    record = {"rule": rule, "frames": {"train": train, "validation": validation, "test": test}}
    return Parts(pixels[train[0] :], _take(pixels, validation, arrays), _take(pixels, test, arrays), record, arrays)


def _take(pixels: NDArray[Any], frames: list[int], arrays: ArrayCache | None) -> NDArray[Any]:
    """Return the frames, as a view where they lie side by side."""
    if frames[-1] - frames[0] + 1 == len(frames):
        return pixels[frames[0] : frames[-1] + 1]

    def fill(into: NDArray[Any]) -> None:
        for frame, target in zip(frames, into, strict=True):
            target[...] = pixels[frame]

    of_frames = None if arrays is None else arrays.of(frames=frames)
    return shared_array(of_frames, (len(frames), *pixels.shape[1:]), pixels.dtype, fill)


def _alternate(validation_count: int, test_count: int) -> tuple[list[int], list[int]]:
    """Deal the first frames out in runs of three, to validation first."""
    validation: list[int] = []
    test: list[int] = []
    frame = 0
    while len(validation) < validation_count or len(test) < test_count:
        for part, wanted in ((validation, validation_count), (test, test_count)):
            run = min(ALTERNATING_RUN, wanted - len(part))
            part.extend(range(frame, frame + run))
            frame += run
    return validation, test


def _split_by_region(pixels: NDArray[Any], config: DataConfig) -> Parts:
    height, width = pixels.shape[-2:]
    axis = config.region_axis
    if axis == "auto":
        axis = "y" if height > width else "x"
    length = height if axis == "y" else width
    validation_px = _share(length, config.validation_fraction)
    test_px = _share(length, config.test_fraction)
    train_px = length - validation_px - test_px
    if train_px < 1:
        raise DataError(
            f"frames of {height} x {width} px (y, x) cannot be cut into three regions along {axis}: "
            "lower data.validation_fraction and data.test_fraction, or set data.region_axis"
        )
    bounds = {
        "train": [0, train_px],
        "validation": [train_px, train_px + validation_px],
        "test": [train_px + validation_px, length],
    }
    train, validation, test = (_crop(pixels, axis, start, stop) for start, stop in bounds.values())
    return Parts(train, validation, test, {"rule": "region", "region_axis": axis, "regions_px": bounds})


def _crop(pixels: NDArray[Any], axis: str, start: int, stop: int) -> NDArray[Any]:
    return pixels[..., start:stop, :] if axis == "y" else pixels[..., start:stop]


def _share(count: int, fraction: float) -> int:
    """Return a fraction of `count`, rounded down, at least 1."""
    # The small term keeps 0.29 * 100 = 28.999… at 29.
    return max(1, math.floor(count * fraction + 1e-9))
