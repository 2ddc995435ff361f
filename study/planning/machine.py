"""What a machine offers to trials."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

#: Where Linux says how much memory a container has: control groups of version 2, and of version 1.
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


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
    return Machine(os.cpu_count() or 1, memory_bytes(), gpus, min(sizes, default=0))


def memory_bytes() -> int:
    """Return the memory that processes here may use together: of the machine, or of a container with less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in _CONTAINER_LIMITS:
        # Without a limit, the file says `max`, or is not there.
        with suppress(OSError, ValueError):
            memory = min(memory, int(file.read_text("ascii")))
    return memory


def free_bytes(path: Path) -> int:
    """Return the free space where `path` is, or would be made."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
