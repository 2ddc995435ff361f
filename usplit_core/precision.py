"""What float32 means on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Let convolutions in float32 multiply all bits of their factors on `device`, as they do on a CPU.

    On NVIDIA GPUs torch lets cuDNN round the factors to 10 bits of mantissa (TF32) unless it is told otherwise, 13 bits
    less than float32 has. A run in float32 would then be other numbers on such a GPU than elsewhere. What is faster is
    asked for by ``bfloat16`` or ``float16``.
    """
    if device.type == "cpu":
        yield
        return
    cudnn: Any = torch.backends.cudnn  # a module whose settings are no attributes that it declares
    before = cudnn.conv.fp32_precision
    cudnn.conv.fp32_precision = "ieee"
    try:
        yield
    finally:
        cudnn.conv.fp32_precision = before
