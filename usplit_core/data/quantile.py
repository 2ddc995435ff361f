"""Quantiles of more pixels than memory holds: pixels are counted, in a few passes, and never sorted."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Gives the pixels, in pieces of any shape and of one type; called once for each pass.
Pieces = Callable[[], Iterator[NDArray[Any]]]

_DIGIT_BITS = 16


def quantile_of(pieces: Pieces, quantile: float) -> float:
    """Return the number that `numpy.quantile` returns for all pixels together, with linear interpolation.

    Parameters
    ----------
    pieces
        At least one pixel, integers or finite real numbers.
    quantile
        Between 0 and 1.
    """
    count = sum(piece.size for piece in pieces())
    rank = quantile * (count - 1)
    below = math.floor(rank)
    first, second = _values_at(pieces, (below, min(below + 1, count - 1)))
    share = rank - below
    if first.dtype.itemsize <= 2 and first.dtype.kind in "iu":
        return float(int(first) + (int(second) - int(first)) * share)
    # Of two values, numpy interpolates as it does of many: to the last digit.
    return float(np.quantile(np.array([first, second]), share))


def _values_at(pieces: Pieces, ranks: tuple[int, int]) -> tuple[Any, Any]:
    """Return the pixels that have these ranks, counted from 0, if all were sorted.

    Digit by digit, from the highest: pixels are counted that agree with what is known of the value so far.
    """
    dtype = next(pieces()).dtype
    bits = 8 * dtype.itemsize
    known, left = [0, 0], list(ranks)
    for shift in range(max(bits - _DIGIT_BITS, 0), -1, -_DIGIT_BITS):
        counts = _count_digits(pieces, known, shift)
        for at, prefix in enumerate(known):
            up_to = np.cumsum(counts[prefix])
            digit = int(np.searchsorted(up_to, left[at], side="right"))
            left[at] -= int(up_to[digit - 1]) if digit else 0
            known[at] = prefix << _DIGIT_BITS | digit
    first, second = _from_ordered(np.array(known, f"u{dtype.itemsize}"), dtype.newbyteorder("="))
    return first, second


def _count_digits(pieces: Pieces, prefixes: list[int], shift: int) -> dict[int, NDArray[np.int64]]:
    """Return, for all pixels that begin with a prefix, how often each next digit occurs."""
    counts = {prefix: np.zeros(2**_DIGIT_BITS, np.int64) for prefix in prefixes}
    for piece in pieces():
        heads = _ordered(piece) >> np.array(shift, f"u{piece.dtype.itemsize}")
        digits = heads.astype(np.uint16)  # the last digit of a head
        for prefix, count in counts.items():
            # All pixels begin with what is known before the first digit: nothing.
            chosen = digits if shift + _DIGIT_BITS >= 8 * piece.dtype.itemsize else digits[heads >> 16 == prefix]
            count += np.bincount(chosen, minlength=len(count))
    return counts


def _ordered(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return unsigned integers (pixels,) in the same order as the pixels."""
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")).ravel()
    kind, size = native.dtype.kind, native.dtype.itemsize
    bits = native.view(f"u{size}")
    if kind == "u":
        return bits
    sign = np.array(1 << 8 * size - 1, bits.dtype)
    if kind == "i":
        signed: NDArray[Any] = bits ^ sign
        return signed
    # Of real numbers, larger bits are larger numbers if positive, smaller ones if negative.
    ordered: NDArray[Any] = np.where(bits & sign, ~bits, bits | sign)
    return ordered


def _from_ordered(keys: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the pixels that `_ordered` made these integers of."""
    sign = np.array(1 << 8 * dtype.itemsize - 1, keys.dtype)
    if dtype.kind == "i":
        keys = keys ^ sign
    elif dtype.kind == "f":
        keys = np.where(keys & sign, keys ^ sign, ~keys)
    return keys.view(dtype)
