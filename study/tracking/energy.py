"""The energy that a training takes, from the counters of the machine: of the processor (RAPL) and of the GPU (NVML).

Counters belong to a whole processor or GPU: what else computes there at the same time is counted too. Where none can
be read (RAPL is often closed to users, and absent from virtual machines), a trial has no energy, and no guess.
"""

import ctypes
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from study.tracking.sampling import repeated
from usplit_core.whole_files import read_json, write_whole

KEY = "cost/energy_joules"
FILE = "energy.json"
#: Counters of processors run over, after some minutes at full load at the earliest.
_INTERVAL_S = 30.0
_RAPL = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3


class Meter(NamedTuple):
    """One counter in joules; it starts again from 0 when it has reached `wraps_at`, None = never."""

    name: str
    read: Callable[[], float]
    wraps_at: float | None = None


class _Stored(NamedTuple):
    joules: float
    meters: list[str]


@contextmanager
def measured_energy(folder: Path, device: str, meters: list[Meter] | None = None) -> Iterator[None]:
    """Add the energy of the context to what the trial has taken in earlier attempts.

    Parameters
    ----------
    folder
        Of the trial.
    device
        Where it computes: ``cpu`` or ``cuda``.
    meters
        Counters to read, by default all of the machine that can be read.
    """
    found = find_meters(device) if meters is None else meters
    before = _stored(folder)
    if not found or (before is not None and before.meters != [meter.name for meter in found]):
        # An attempt without counters, or with others, leaves no number that says what it seems to say.
        _write(folder, _Stored(0.0, []))
        yield
        return
    counted = _Counted(found, 0.0 if before is None else before.joules)
    try:
        with repeated(lambda: _write(folder, counted.add()), _INTERVAL_S):
            yield
    finally:
        _write(folder, counted.add())


def energy_of(folder: Path) -> dict[str, float]:
    """Return the energy of a trial as a metric; empty where some of it was not measured."""
    stored = _stored(folder)
    return {KEY: stored.joules} if stored is not None and stored.meters else {}


def energy_tags(folder: Path) -> dict[str, str]:
    """Return the tag that says what was measured."""
    stored = _stored(folder)
    return {"usplit.energy": ", ".join(stored.meters)} if stored is not None and stored.meters else {}


def find_meters(device: str, powercap: Path = _RAPL) -> list[Meter]:
    """Return the counters of this machine that can be read."""
    meters = [meter for folder in sorted(powercap.glob("intel-rapl:*")) if (meter := _rapl(folder)) is not None]
    gpu = _nvml() if device == "cuda" else None
    return meters if gpu is None else [*meters, gpu]


class _Counted:
    """The sum of what some counters have counted since this was made."""

    def __init__(self, meters: list[Meter], joules: float) -> None:
        self._meters, self._joules = meters, joules
        self._last = [meter.read() for meter in meters]

    def add(self) -> _Stored:
        """Add what has been counted since the last call; return the sum."""
        for index, meter in enumerate(self._meters):
            now = meter.read()
            more = now - self._last[index]
            self._joules += more + meter.wraps_at if more < 0 and meter.wraps_at is not None else max(more, 0.0)
            self._last[index] = now
        return _Stored(self._joules, [meter.name for meter in self._meters])


def _rapl(folder: Path) -> Meter | None:
    """Return the counter of a processor or its memory; other domains are parts of these, or hold them."""
    try:
        name = (folder / "name").read_text().strip()
        wraps_at = int((folder / "max_energy_range_uj").read_text()) * _MICRO
        (folder / "energy_uj").read_text()
    except (OSError, ValueError):
        return None
    if not (name.startswith("package") or name == "dram"):
        return None
    number = folder.name.removeprefix("intel-rapl:").partition(":")[0]
    words = f"processor {number}" if name.startswith("package") else f"memory of processor {number}"
    return Meter(words, lambda: int((folder / "energy_uj").read_text()) * _MICRO, wraps_at)


def _nvml() -> Meter | None:
    """Return the counter of the GPU that torch uses; it counts from the start of the driver and never runs over."""
    import torch

    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        identity = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
        handle = ctypes.c_void_p()
        problems = [
            library.nvmlInit_v2(),
            library.nvmlDeviceGetHandleByUUID(identity.encode(), ctypes.byref(handle)),
            library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(ctypes.c_ulonglong())),
        ]
    except (OSError, AttributeError):
        return None
    if any(problems):
        return None

    def read() -> float:
        value = ctypes.c_ulonglong()
        library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(value))
        return value.value * _MILLI

    return Meter("GPU", read)


def _stored(folder: Path) -> _Stored | None:
    stored = read_json(folder / FILE)
    return None if stored is None else _Stored(**stored)


def _write(folder: Path, stored: _Stored) -> None:
    write_whole(folder / FILE, json.dumps(stored._asdict()))
