"""Which axis of a file is which, and every file's pixels in one order: (N, C, Y, X)."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usplit_core.data.shared_arrays import ArrayCache, shared_array
from usplit_core.errors import DataError

#: Time and depth fold into frames: each plane is a frame of its own.
FRAME_AXES = "NTZ"
#: S are the samples of a colour image.
CHANNEL_AXES = "CS"
KNOWN_AXES = FRAME_AXES + CHANNEL_AXES + "YX"

#: An axis that nobody named is taken for structure channels up to this length.
MOST_UNNAMED_CHANNELS = 8


def arrange(
    pixels: NDArray[Any],
    file_axes: str,
    *,
    axes: str | None,
    single: bool,
    where: str,
    arrays: ArrayCache | None = None,
) -> NDArray[Any]:
    """Return pixels as (N, C, Y, X), as a view where that is possible.

    Parameters
    ----------
    file_axes
        One letter an axis as the file says; letters other than ``NTZCSYX`` stand for axes that are not named.
    axes
        What the user says; None = as the file says.
    single
        Whether the file holds one channel: then an axis without a name counts frames.
    where
        The file, for messages.
    arrays
        Where pixels go that must be copied; None = to memory.

    Raises
    ------
    DataError
        If the axes contradict the shape, or are not stated and cannot be told from it.
    """
    letters = name_axes(pixels.shape, file_axes, axes=axes, single=single, where=where)
    groups = [[at for at, letter in enumerate(letters) if letter in kind] for kind in (FRAME_AXES, CHANNEL_AXES)]
    frames, channels = (math.prod(pixels.shape[at] for at in group) for group in groups)
    height, width = letters.index("Y"), letters.index("X")
    ordered = pixels.transpose(*groups[0], *groups[1], height, width)
    shape = frames, channels, pixels.shape[height], pixels.shape[width]
    count = len(groups[0])
    if arrays is None or (_folds(ordered, 0, count) and _folds(ordered, count, count + len(groups[1]))):
        return ordered.reshape(shape)

    def fill(into: NDArray[Any]) -> None:
        for target, index in zip(into, np.ndindex(ordered.shape[:count]), strict=True):
            target[...] = ordered[index].reshape(shape[1:])

    return shared_array(arrays.of(file=where, axes=letters), shape, pixels.dtype, fill)


def _folds(pixels: NDArray[Any], first: int, end: int) -> bool:
    """Say whether axes `first` to `end` can become one without a copy."""
    axes = [axis for axis in range(first, end) if pixels.shape[axis] > 1]
    strides, shape = pixels.strides, pixels.shape
    return all(strides[outer] == strides[inner] * shape[inner] for outer, inner in pairwise(axes))


def name_axes(shape: tuple[int, ...], file_axes: str, *, axes: str | None, single: bool, where: str) -> str:
    """Return a letter for each axis of a file; parameters and errors as in `arrange`."""
    if axes is None:
        return _name_axes(shape, file_axes, single=single, where=where)
    return _check_axes(shape, axes, where)


def _check_axes(shape: tuple[int, ...], axes: str, where: str) -> str:
    letters = axes.upper()
    if len(letters) != len(shape):
        raise DataError(
            f"data.axes = {axes!r} has {len(letters)} letters, but {where} has {len(shape)} axes of lengths "
            f"{_lengths(shape)}: give one letter for each"
        )
    unknown = sorted(set(letters) - set(KNOWN_AXES))
    twice = sorted({letter for letter in letters if letters.count(letter) > 1})
    if unknown or twice or not {"Y", "X"} <= set(letters):
        raise DataError(
            f"data.axes = {axes!r}: use each of N (frames), T, Z, C (channels), S (colour samples), Y, X "
            "at most once, and Y and X always, such as 'NCYX'"
        )
    return letters


def _name_axes(shape: tuple[int, ...], file_axes: str, *, single: bool, where: str) -> str:
    """Give every axis of a file a name, from what the file says and from its shape."""
    letters = "".join(letter if letter in KNOWN_AXES else "?" for letter in file_axes)
    if len(shape) < 2 or len(letters) != len(shape):
        raise DataError(f"{where} has {len(shape)} axes of lengths {_lengths(shape)}: an image has at least Y and X")
    if _is_channel_last(shape, letters, single=single):
        letters = "?" * (len(shape) - 3) + "YXC"
    elif "Y" not in letters or "X" not in letters:
        letters = "?" * (len(shape) - 2) + "YX"
    unnamed = [at for at, letter in enumerate(letters) if letter == "?"]
    if single or not unnamed or set(letters) & set(CHANNEL_AXES):
        return letters.replace("?", "N")
    if len(unnamed) <= 2 and shape[unnamed[-1]] <= MOST_UNNAMED_CHANNELS:
        return letters.replace("?", "N", len(unnamed) - 1).replace("?", "C")
    raise DataError(
        f"{where} has axes of lengths {_lengths(shape)} and does not say which one counts the structure channels: "
        f"set data.axes, one letter for each axis, such as {'NCYX'[-len(shape) :]!r}"
    )


def _is_channel_last(shape: tuple[int, ...], letters: str, *, single: bool) -> bool:
    """Tell whether a short last axis counts channels, where no channel axis is named."""
    if single or len(shape) not in (3, 4) or set(letters) & set(CHANNEL_AXES + FRAME_AXES):
        return False
    return shape[-1] <= MOST_UNNAMED_CHANNELS < min(shape[-3:-1])


def _lengths(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "none"
