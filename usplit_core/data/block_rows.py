"""Rows of frames that a file stores in blocks, such as the tiles of a TIFF or the chunks of a Zarr array."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class BlockRows:
    """Reads rows, and decodes each row of blocks once as long as the rows asked for go from top to bottom."""

    def __init__(self, decode: Callable[[int, int], NDArray[Any]], block_px: int) -> None:
        """Take what decodes a row of blocks, by frame and number from the top, and the height of a block."""
        self._decode, self._block_px = decode, block_px
        self._held: dict[tuple[int, int], NDArray[Any]] = {}

    def read(self, frame: int, top: int, bottom: int) -> NDArray[Any]:
        """Return rows `top` up to `bottom` of a frame, (rows, X)."""
        rows = range(top // self._block_px, -(-bottom // self._block_px))
        self._held = {key: block for key, block in self._held.items() if key[0] == frame and key[1] in rows}
        for row in rows:
            if (frame, row) not in self._held:
                self._held[frame, row] = self._decode(frame, row)
        joined = np.concatenate([self._held[frame, row] for row in rows])
        return joined[top - rows.start * self._block_px : bottom - rows.start * self._block_px]
