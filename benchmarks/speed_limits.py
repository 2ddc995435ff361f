"""What the machine can do at most: convolutions and copies, in the best of the ways that torch has."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

from benchmarks.speed_subject import BATCH_SIZE, DTYPES, PATCH_PX

#: Repetitions, of which the fastest counts: a limit is what nothing disturbed.
REPEATS = 12
FILTERS = 64
COPIED_BYTES = 2**28


class Limits(NamedTuple):
    """Operations a second of the networks' most frequent convolution by precision, and bytes copied a second."""

    flops: dict[str, float]
    bytes: float

    @property
    def gains_from_bfloat16(self) -> bool:
        """Whether the processor computes faster in bfloat16; where it only emulates it, it is slower."""
        return self.flops["bfloat16"] > 1.3 * self.flops["float32"]


def measure_limits(threads: int) -> Limits:
    """Return the limits of this machine; changes the number of threads that torch uses."""
    torch.set_num_threads(threads)
    memory = torch.zeros(COPIED_BYTES, dtype=torch.uint8)
    target = torch.zeros_like(memory)
    copied = COPIED_BYTES / _fastest(lambda: target.copy_(memory))
    return Limits({name: _convolution_rate(dtype) for name, dtype in DTYPES.items()}, copied)


def _convolution_rate(dtype: torch.dtype) -> float:
    """Return operations a second of a 3×3 convolution of 64 channels on 64² px, in the better memory order."""
    operations = 2 * BATCH_SIZE * FILTERS**2 * 9 * PATCH_PX**2
    return max(operations / _fastest(_convolution(dtype, order)) for order in (torch.contiguous_format,
                                                                              torch.channels_last))  # fmt: skip


def _convolution(dtype: torch.dtype, order: torch.memory_format) -> Callable[[], object]:
    image = torch.randn(BATCH_SIZE, FILTERS, PATCH_PX, PATCH_PX, dtype=dtype).contiguous(memory_format=order)
    weight = torch.randn(FILTERS, FILTERS, 3, 3, dtype=dtype).contiguous(memory_format=order)
    return lambda: functional.conv2d(image, weight, padding=1)


def _fastest(work: Callable[[], object]) -> float:
    """Return processor seconds of the calling thread, which other work disturbs least."""
    work()
    fastest = float("inf")
    for _ in range(REPEATS):
        start = time.thread_time()
        work()
        fastest = min(fastest, time.thread_time() - start)
    return fastest
