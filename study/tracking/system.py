"""What the machine of a trial was doing while it ran: load, memory and GPU, sampled by its worker.

Off, unless MLflow's own variable ``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING`` says ``true``. The samples
go to a file in the trial's folder, and from there into its run under the names that MLflow shows as
system metrics.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from study.tracking.rows import Row
from study.tracking.sampling import repeated

ON = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
INTERVAL = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"
FILE = "system.jsonl"
#: In every sample.
SYSTEM_KEY = "system/cpu_utilization_percentage"
_DEFAULT_INTERVAL_S = 10.0
_MEGABYTE = 1e6


@contextmanager
def system_samples(folder: Path, device: str) -> Iterator[None]:
    """Sample the machine while the context lasts, where that is on.

    Parameters
    ----------
    folder
        Of the trial.
    device
        Where it computes: ``cpu`` or ``cuda``.
    """
    if os.environ.get(ON, "").lower() != "true":
        yield
        return
    _now(device)  # the load is that since the last call
    with repeated(lambda: _sample(folder / FILE, device), float(os.environ.get(INTERVAL) or _DEFAULT_INTERVAL_S)):
        yield


def _sample(path: Path, device: str) -> None:
    line = json.dumps({"time_ms": round(1000 * time.time()), "metrics": _now(device)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _now(device: str) -> dict[str, float]:
    import psutil  # type: ignore[import-untyped]  # it brings no types

    memory = psutil.virtual_memory()
    sample = {
        SYSTEM_KEY: psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / _MEGABYTE,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / _MEGABYTE,
    }
    if device == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info()
        sample["system/gpu_0_memory_usage_megabytes"] = (total - free) / _MEGABYTE
        sample["system/gpu_0_memory_usage_percentage"] = 100 * (total - free) / total
    return sample


def system_rows(folder: Path, after: int) -> list[Row]:
    """Return the samples of a trial from number `after` on, numbered from 1."""
    path = folder / FILE
    if not path.exists():
        return []
    complete = path.read_text(encoding="utf-8").split("\n")[:-1]  # the last line may be half written
    lines = enumerate(complete[after:], start=after + 1)
    return [Row(step, *sample) for step, line in lines if (sample := _read_sample(line)) is not None]


def _read_sample(line: str) -> tuple[int, dict[str, float]] | None:
    """Return time and values of a sample; None of a line that a kill or a full disk has torn."""
    try:
        sample = json.loads(line)
        return sample["time_ms"], sample["metrics"]
    except (ValueError, TypeError, KeyError):
        return None
