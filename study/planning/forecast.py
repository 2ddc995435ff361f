"""How long a study will take, from what a pass of each network took: measured, or in trainings that have finished.

How good it is, seen in quickstart-sized runs by the time of one core: training with its validation took 0.90 of what
three measured steps said, inner tiling 0.64 to 0.93 of it and outer tiling 0.65 to 0.89, since prediction computes
no rim that is thrown away. Trials beside each other share caches and memory, which no measurement
of one network shows: on busy cores a training took up to 1.5 times as long.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal, NamedTuple

from study.planning.known import Timing
from study.planning.probe import Measurement, ProbePlace, measured
from study.planning.workload import passes_per_step
from usplit_core.config import RunConfig
from usplit_core.cost import cost_key

Source = Literal["trials", "probe", ""]


class Rate(NamedTuple):
    """How long a pass takes, and who says so; None where nothing is known."""

    device: str
    seconds_per_pass: float | None = None
    source: Source = ""
    measurement: Measurement | None = None


def rates_of(runs: Iterable[RunConfig], place: ProbePlace, past: Iterable[Timing]) -> dict[RunConfig, Rate]:
    """Return the rate of each network, by its `cost_key`: of finished trainings, else as it was measured.

    Parameters
    ----------
    runs
        One or more for each network.
    place
        Device and threads, and where measurements are kept.
    past
        Trainings that have finished on the same device.
    """
    seen = defaultdict(list)
    for timing in past:
        seen[timing.network].append(timing.seconds_per_pass)
    rates: dict[RunConfig, Rate] = {}
    for run in runs:
        key = cost_key(run)
        if key in rates:
            continue
        found = measured(run, place)
        if seen[key]:
            rates[key] = Rate(place.device, median(seen[key]), "trials", found)
        elif found is not None and found.seconds_per_step is not None:
            rates[key] = Rate(place.device, found.seconds_per_step / passes_per_step(run), "probe", found)
        else:
            rates[key] = Rate(place.device, measurement=found)
    return rates


def wall_seconds(trials: Sequence[tuple[float, int]], parallel: int) -> float:
    """Return how long trials take, so many side by side, each begun when there is room, the longest first.

    Parameters
    ----------
    trials
        Seconds and number of trials of each kind.
    parallel
        Trials at a time.
    """
    slots = [0.0] * max(1, parallel)
    for seconds, count in sorted(trials, reverse=True):
        for _ in range(count):
            heapq.heapreplace(slots, slots[0] + seconds)
    return max(slots)
