"""Which random patches a training step sees: a pure function of seed and step.

A resumed training goes on with the patches it would have seen, and trials that share a seed see the same.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from usplit_core.config import DataConfig


class Draw(NamedTuple):
    """Random patches, one after the other: where they start in native pixels, how they are mixed and turned.

    Parameters
    ----------
    frame, top, left
        Frame, first row and first column, integers (B,).
    share
        Of the first of two structure channels in the mixture, (B,); None where it is fixed.
    turn
        Which of the 8 symmetries of a square, integers (B,); None where patches stay as they are.
    """

    frame: NDArray[Any]
    top: NDArray[Any]
    left: NDArray[Any]
    share: NDArray[Any] | None
    turn: NDArray[Any] | None


def draw_patches(seed: int, steps: Sequence[int], *, batch_size: int, limits: Sequence[int], data: DataConfig) -> Draw:
    """Return the patches of some steps, those of the first step first.

    Parameters
    ----------
    limits
        How many frames, first rows and first columns there are to choose from; all are equally likely.
    """
    choices = np.array(limits)[:, None]
    places, shares, turns = [], [], []
    for generator in _streams(seed, steps):
        # The order of the calls is part of the numbers.
        places.append(generator.integers(choices, size=(len(choices), batch_size)))
        if data.mixing_weight_range is not None:
            shares.append(generator.uniform(*data.mixing_weight_range, size=batch_size))
        if data.augment:
            turns.append(generator.integers(8, size=batch_size))
    frame, top, left = np.concatenate(places, axis=1)
    return Draw(frame, top, left, np.concatenate(shares) if shares else None, np.concatenate(turns) if turns else None)


def _streams(seed: int, steps: Sequence[int]) -> Iterator[np.random.Generator]:
    """Yield, for each step, the generator of its random numbers, which is used up before the next is asked for.

    It is counter-based: its key makes each pair of seed and step a stream of its own. Setting the key takes a fifth
    of the time of making a generator, which asks the system for a seed that nothing here uses.
    """
    bits = np.random.Philox()
    generator = np.random.Generator(bits)
    zeros = np.zeros(4, np.uint64)
    for step in steps:
        key = np.array([seed, step], np.uint64)
        bits.state = {
            "bit_generator": "Philox", "state": {"counter": zeros, "key": key},
            # Nothing is left over of the stream before.
            "buffer": zeros, "buffer_pos": len(zeros), "has_uint32": 0, "uinteger": 0,
        }  # fmt: skip
        yield generator
