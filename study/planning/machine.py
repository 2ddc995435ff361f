"""What a machine offers to trials."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple


class Machine(NamedTuple):
    """Cores, memory and GPUs; `gpu_bytes` is the memory of the smallest GPU."""

    cpus: int
    memory_bytes: int
    gpus: int = 0
    gpu_bytes: int = 0


def this_machine() -> Machine:
    """Return what this machine offers; loads torch."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    sizes = [int(torch.cuda.get_device_properties(index).total_memory) for index in range(gpus)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(os.cpu_count() or 1, memory, gpus, min(sizes, default=0))


def free_bytes(path: Path) -> int:
    """Return the free space where `path` is, or would be made."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
