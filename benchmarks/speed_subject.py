"""What both sides of a speed measurement have in common: a process that does one piece of work each time it is told.

A subject reads a case from its command line, prepares it, and then answers each line of its standard input with one
line of JSON: wall and processor seconds of one repetition, and the memory that the process has taken since it had its
libraries; on a GPU, the memory of the device.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from usplit_core.precision import full_float32

#: Context inputs and levels of the variants, which both sides build with 64 filters and 128 latent channels.
VARIANTS = {"vanilla": (0, 4), "regular": (4, 4), "deep": (4, 8)}
BATCH_SIZE, PATCH_PX = 8, 64
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: The frames that batches are drawn from, and how many batches a repetition draws.
FRAMES, FRAME_PX, BATCHES = 10, 512, 400
#: A row of 16 tiles, of which 64 px are seen and 32 px are kept, stands for the 64 rows of 64 of a frame of 2048 px.
TILES, TILED_SHAPE, PADDING_PX = 16, (32, 512), 16


class Case(NamedTuple):
    """What is measured, with which network, in which precision and where."""

    task: str
    variant: str
    precision: str
    threads: int
    device: str = "cpu"


class Work(NamedTuple):
    """One repetition, and how much it is: items (images or tiles), floating-point operations, bytes moved.

    `error` is what the precision changes in the result, in standard deviations of it, as root of the mean square.
    """

    repeat: Callable[[], object]
    items: int
    flops: float = 0.0
    bytes: float = 0.0
    error: float = 0.0


def serve(prepare: Callable[[Case], Work]) -> int:
    """Prepare the case of the command line and repeat it as often as the standard input has lines."""
    # What libraries print must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    case = Case(**json.loads(sys.argv[1]))
    torch.set_num_threads(case.threads)
    before = 0 if case.device != "cpu" else kilobytes("VmRSS") * 1024
    with full_float32(torch.device(case.device)):  # the same numbers on both sides
        work = prepare(case)
        _answer(answers, items=work.items, flops=work.flops, bytes=work.bytes, error=work.error)
        for _ in sys.stdin:
            _answer(answers, **_repeat(work, case.device, before))
    return 0


def _repeat(work: Work, device: str, bytes_before: int) -> dict[str, float]:
    """Return seconds and memory of one repetition."""
    start, busy = time.perf_counter(), time.process_time()
    work.repeat()
    wait_for(device)
    seconds, busy_seconds = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": seconds, "busy_seconds": busy_seconds, "peak_gb": (_peak_bytes(device) - bytes_before) / 1e9}


def wait_for(device: str) -> None:
    """Return when the device has done all that it was told; a GPU works on after the call that gives it work."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def training_pair(variant: str, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return the same input (B, L, P, P) and target (B, C, P, P) at every call."""
    generator = torch.Generator().manual_seed(0)
    levels = 1 + VARIANTS[variant][0]
    shapes = ((BATCH_SIZE, levels, PATCH_PX, PATCH_PX), (BATCH_SIZE, 2, PATCH_PX, PATCH_PX))
    image, target = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    return image, target


def _answer(stream: Any, **values: float) -> None:
    stream.write(json.dumps(values) + "\n")
    stream.flush()


def _peak_bytes(device: str) -> int:
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    # Not `resource.getrusage`, whose peak is that of the process which started this one, if that was larger.
    return kilobytes("VmHWM") * 1024


def kilobytes(name: str) -> int:
    """Return a size of this process by its name in Linux, such as ``VmRSS``."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
