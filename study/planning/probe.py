"""How long a step takes and how much memory it needs: measured with a few steps of each network on this device.

Each network is measured in a process of its own, so that its memory is its own, and one that is too large
ends that process and nothing else. One step warms up, the median of three counts. What was measured is
kept in the store and never measured again on the same device with the same threads and the same torch.

The images are random numbers: what they show changes neither time nor memory.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from study.planning.cache import Key, recall, remember
from usplit_core import __version__
from usplit_core.config import RunConfig
from usplit_core.cost import cost_key
from usplit_core.settings import validate

_STEPS = 3
#: After this time a network is measured with the steps that it has done.
_SECONDS_A_NETWORK = 60.0
#: To start a process, load torch and take the first step.
_SECONDS_TO_START = 120.0


class Measurement(NamedTuple):
    """What a few training steps took; `problem` says why there are no numbers."""

    seconds_per_step: float | None
    peak_bytes: int | None
    problem: str = ""


class ProbePlace(NamedTuple):
    """Where steps are measured, and where what was measured is kept."""

    device: str
    threads: int
    folder: Path


def device_name(device: str) -> str:
    """Return what tells one device from another: the model of a GPU, the name of a host."""
    if device == "cpu":
        return platform.node()
    import torch

    return torch.cuda.get_device_name(device)


def measured(run: RunConfig, place: ProbePlace) -> Measurement | None:
    """Return what was measured of the network of `run` before, or None."""
    found = recall(place.folder, _key(run, place))
    try:
        return Measurement(**found)  # type: ignore[arg-type] # whatever the file holds is checked here
    except TypeError:
        return None


def probe(runs: Sequence[RunConfig], place: ProbePlace, *, seconds: float = 600.0) -> None:
    """Measure the networks of `runs` that have not been measured, one after the other.

    Parameters
    ----------
    runs
        One for each network.
    place
        Device, threads of a trial, and where the numbers are kept.
    seconds
        No further network is begun after this time.
    """
    end = time.monotonic() + seconds
    for run in runs:
        if time.monotonic() < end and measured(run, place) is None:
            remember(place.folder, _key(run, place), _measure_apart(run, place)._asdict())


def _key(run: RunConfig, place: ProbePlace) -> Key:
    import torch

    return {
        "network": cost_key(run).model_dump(mode="json"),
        "device": device_name(place.device),
        "threads": place.threads,
        "torch": torch.__version__,
        "version": __version__,
    }


def _measure_apart(run: RunConfig, place: ProbePlace) -> Measurement:
    """Measure in a process of its own."""
    task = {"run": run.model_dump(mode="json"), "device": place.device, "threads": place.threads}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "study.planning.probe"],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            timeout=_SECONDS_TO_START + 2 * _SECONDS_A_NETWORK,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": str(place.threads)},
        )
    except subprocess.TimeoutExpired:
        return Measurement(None, None, "one step takes minutes")
    if done.returncode == 0:
        return Measurement(**json.loads(done.stdout.splitlines()[-1]))
    if done.returncode < 0:
        return Measurement(None, None, f"the process was ended by signal {-done.returncode}, as for want of memory")
    return Measurement(None, None, (done.stderr.strip().splitlines() or ["no step could be taken"])[-1])


def measure(run: RunConfig, *, device: str, threads: int, seconds: float = _SECONDS_A_NETWORK) -> Measurement:
    """Take a few training steps in this process, after which its memory shows what they needed."""
    import torch

    from usplit_core.cost import measure_cost, reset_peak_memory
    from usplit_core.data.sampling import Batch
    from usplit_core.learner import build_learner, check_device, take_step
    from usplit_core.models.noise_model import NoiseModel, noise_model_of

    torch.set_num_threads(threads)
    place = check_device(device, run.train)
    reset_peak_memory(place)
    memory = "cost/peak_device_bytes" if place.type == "cuda" else "cost/peak_host_bytes"
    before = measure_cost(torch.nn.Identity(), place, 0.0)[memory]
    learner = build_learner(run, place)
    model, size = run.model, run.model.patch_px
    images = torch.randn(run.train.batch_size, model.context_levels, size, size, device=place)
    target = torch.randn(run.train.batch_size, model.structure_channels, size, size, device=place)
    noise_model = noise_model_of(run)
    if noise_model is not None:
        noise_model = NoiseModel(*(tensor.to(place) for tensor in noise_model))
    taken: list[float] = []
    started = time.monotonic()
    while len(taken) <= _STEPS and (not taken or time.monotonic() - started < seconds):
        begun = time.perf_counter()
        take_step(learner, Batch(images, target), run, epoch=0, noise_model=noise_model)
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        taken.append(time.perf_counter() - begun)
    peak = measure_cost(learner.module, place, 0.0)[memory] - before
    return Measurement(statistics.median(taken[1:] or taken), int(peak))


def _main(task: dict[str, Any]) -> None:
    found = measure(validate(task["run"]), device=task["device"], threads=task["threads"])
    sys.stdout.write(json.dumps(found._asdict()) + "\n")


if __name__ == "__main__":
    _main(json.loads(sys.stdin.read()))
