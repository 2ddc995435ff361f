"""Frames as they are kept for sampling: in the type of their file, as a view of the caller's memory where possible."""

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.data import mixing
from usplit_core.data.shared_arrays import ArrayCache, shared_array

#: Types that few devices can index, and those that stand for them: networks compute in float32 in any case, and no
#: microscope counts to 2**63.
_KEPT_AS: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.uint32): np.dtype(np.int64),
    np.dtype(np.uint64): np.dtype(np.int64),
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.float16): np.dtype(np.float32),
}


def keep_native(
    pixels: NDArray[Any], background_quantile: float, arrays: ArrayCache | None
) -> tuple[torch.dtype, Tensor]:
    """Return frames (N, C, Y, X) without background as a tensor that every device can index, and its true type.

    Frames that can be used as they are, parts of larger ones too, are not copied; others are, once for all processes
    that share `arrays`, a frame at a time.
    """
    # What a pixel becomes is asked of one, so that the rule is in one place.
    native = mixing.remove_background(pixels[:1, :1, :1, :1], background_quantile).dtype.newbyteorder("=")
    kept = _KEPT_AS.get(native, native)
    if background_quantile or kept != pixels.dtype or not _has_usable_steps(pixels):

        def fill(into: NDArray[Any]) -> None:
            for frame, target in zip(pixels, into, strict=True):
                target[...] = mixing.remove_background(frame, background_quantile)

        of_level = None if arrays is None else arrays.of(level=0, background_quantile=background_quantile)
        pixels = shared_array(of_level, pixels.shape, kept, fill)
    if kept == np.uint16:
        # Few operations exist for unsigned 16-bit tensors: the bits are moved as signed ones.
        return torch.uint16, wrap(pixels.view(np.int16))
    stored = wrap(pixels)
    return stored.dtype, stored


def wrap(pixels: NDArray[Any]) -> Tensor:
    """Return a tensor on the memory of `pixels`, which may be read-only: frames that processes share are not copied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nor is it written to
        return torch.from_numpy(pixels)


def _has_usable_steps(pixels: NDArray[Any]) -> bool:
    """Say whether the pixels of a row follow each other, and rows lie whole pixels apart."""
    *steps, column_step = pixels.strides
    return column_step == pixels.itemsize and all(step > 0 and step % pixels.itemsize == 0 for step in steps)
