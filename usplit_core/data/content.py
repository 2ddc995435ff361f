"""Which pixels these are: a hash of their content, part of every trial's identity."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Changes with the way the hash is made: what was remembered of the old one no longer counts.
CONTENT_VERSION = 1

#: Bytes that one thread hashes at a time, up to a row of a frame or a whole small frame more.
_PIECE_BYTES = 2**23
_MOST_THREADS = 8


def content_hash(pixels: NDArray[Any]) -> str:
    """Return 32 hexadecimal digits that change with the type, the shape or any pixel, on every machine alike.

    Parameters
    ----------
    pixels
        (..., Y, X) of any layout in memory; at most a few pieces of it are copied at a time.

    Notes
    -----
    SHA-256 of the hashes of pieces that follow each other: the pieces are hashed side by side, in threads,
    and processors compute SHA-256 in hardware.
    """
    portable = pixels.dtype.newbyteorder("<")
    digest = hashlib.sha256(f"{portable.str} {pixels.shape}".encode())
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for piece in pool.map(lambda planes: _hash_piece(planes, portable), _pieces(pixels)):
            digest.update(piece)
    return digest.hexdigest()[:32]


def _pieces(pixels: NDArray[Any]) -> list[list[NDArray[Any]]]:
    """Return views on blocks of rows, several small planes together."""
    *leading, height, width = pixels.shape
    rows = max(1, _PIECE_BYTES // max(1, width * pixels.itemsize))
    blocks = [pixels[index][top : top + rows] for index in np.ndindex(*leading) for top in range(0, height, rows)]
    together = max(1, _PIECE_BYTES // max(1, height * width * pixels.itemsize))
    return [blocks[start : start + together] for start in range(0, len(blocks), together)]


def _hash_piece(planes: list[NDArray[Any]], dtype: DTypeLike) -> bytes:
    digest = hashlib.sha256()
    for plane in planes:
        digest.update(np.ascontiguousarray(plane, dtype).data)
    return digest.digest()
