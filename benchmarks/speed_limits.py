"""What the machine can do at most: convolutions and copies, in the best of the ways that torch has.

One convolution of the networks is too small for a large GPU; there the limit is a matrix product that fills it.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

from benchmarks.speed_subject import BATCH_SIZE, DTYPES, PATCH_PX, wait_for
from usplit_core.precision import full_float32

#: Repetitions, of which the fastest counts: a limit is what nothing disturbed.
REPEATS = 12
FILTERS = 64
COPIED_BYTES = 2**28
#: Side of the matrices that are multiplied on a GPU.
MATRIX_SIDE = 8192


class Limits(NamedTuple):
    """Operations a second of the networks' most frequent convolution by precision, and bytes copied a second."""

    flops: dict[str, float]
    bytes: float

    @property
    def gains_from_bfloat16(self) -> bool:
        """Whether the processor computes faster in bfloat16; where it only emulates it, it is slower."""
        return self.flops["bfloat16"] > 1.3 * self.flops["float32"]


def measure_limits(threads: int, device: str = "cpu") -> Limits:
    """Return the limits of this machine; changes the number of threads that torch uses."""
    torch.set_num_threads(threads)
    memory = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.zeros_like(memory)
    copied = COPIED_BYTES / _fastest(lambda: target.copy_(memory), device)
    with full_float32(torch.device(device)):
        return Limits({name: _rate(dtype, device) for name, dtype in DTYPES.items()}, copied)


def _rate(dtype: torch.dtype, device: str) -> float:
    """Return operations a second of a convolution, or of a matrix product on a device where that is faster."""
    convolution = _convolution_rate(dtype, device)
    return convolution if device == "cpu" else max(convolution, _product_rate(dtype, device))


def _product_rate(dtype: torch.dtype, device: str) -> float:
    first, second = (torch.randn(MATRIX_SIDE, MATRIX_SIDE, dtype=dtype, device=device) for _ in range(2))
    product = torch.empty_like(first)
    return 2 * MATRIX_SIDE**3 / _fastest(lambda: torch.mm(first, second, out=product), device)


def _convolution_rate(dtype: torch.dtype, device: str) -> float:
    """Return operations a second of a 3×3 convolution of 64 channels on 64² px, in the better memory order."""
    operations = 2 * BATCH_SIZE * FILTERS**2 * 9 * PATCH_PX**2
    orders = (torch.contiguous_format, torch.channels_last)
    return max(operations / _fastest(_convolution(dtype, order, device), device) for order in orders)


def _convolution(dtype: torch.dtype, order: torch.memory_format, device: str) -> Callable[[], object]:
    image = torch.randn(BATCH_SIZE, FILTERS, PATCH_PX, PATCH_PX, dtype=dtype, device=device)
    weight = torch.randn(FILTERS, FILTERS, 3, 3, dtype=dtype, device=device).contiguous(memory_format=order)
    image = image.contiguous(memory_format=order)
    return lambda: functional.conv2d(image, weight, padding=1)


def _fastest(work: Callable[[], object], device: str) -> float:
    """Return processor seconds of the calling thread, which other work disturbs least; of a GPU those of the clock."""
    clock = time.thread_time if device == "cpu" else time.perf_counter
    work()
    fastest = float("inf")
    for _ in range(REPEATS):
        wait_for(device)
        start = clock()
        work()
        wait_for(device)
        fastest = min(fastest, clock() - start)
    return fastest
