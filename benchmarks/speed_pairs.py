"""Times two processes alternately, so that what else runs on the machine meets both of them.

Each side is a program of `benchmarks.speed_subject`. With one thread the seconds are those of the processor, which
other work disturbs least; with several, and on a GPU, they are those of the clock.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import REPOSITORY
from benchmarks.speed_subject import Case
from usplit_core.errors import UserError


class Side(NamedTuple):
    """What one process did: work of a repetition, and seconds of each repetition."""

    items: int
    flops: float
    bytes: float
    seconds: tuple[float, ...]
    peak_gb: float
    error: float = 0.0

    @property
    def seconds_per_item(self) -> float:
        """Seconds of one image or tile, the median over repetitions."""
        return statistics.median(self.seconds) / self.items


class Ratio(NamedTuple):
    """How many times as fast ours is as the peer: median, smallest and largest of the paired repetitions."""

    median: float
    lowest: float
    highest: float


def compare(ours: Side, peer: Side) -> Ratio:
    """Return the ratio of the seconds an item, repetition by repetition."""
    scale = ours.items / peer.items
    ratios = [theirs / own * scale for own, theirs in zip(ours.seconds, peer.seconds, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def measure(programs: Sequence[tuple[str, Case]], *, repeats: int, peer: Path | None = None) -> list[Side]:
    """Run each program and case in a process of its own, one repetition of each in turn.

    Parameters
    ----------
    programs
        Module and case of each side.
    repeats
        Repetitions of each; preparing the work has done it once before.
    peer
        Folder that is put on the path of the processes.

    Raises
    ------
    UserError
        If a process ends before it has answered.
    """
    with ExitStack() as stack:
        running = [stack.enter_context(_start(module, case, peer)) for module, case in programs]
        prepared = [_answer(process) for process in running]
        answers = [[_repeat(process) for process in running] for _ in range(repeats)]
    clocks = ["busy_seconds" if (case.threads, case.device) == (1, "cpu") else "seconds" for _, case in programs]
    return [
        _side(work, [row[index] for row in answers], clock)
        for index, (work, clock) in enumerate(zip(prepared, clocks, strict=True))
    ]


def at_once(module: str, case: Case, count: int, *, repeats: int) -> Ratio:
    """Return how many times as much as one process `count` of them do, which run at the same time, by the clock.

    Raises
    ------
    UserError
        If a process ends before it has answered.
    """
    with ExitStack() as stack:
        running = [stack.enter_context(_start(module, case, None)) for _ in range(count)]
        for process in running:
            _answer(process)
        gains = [count * _clocked(running[:1]) / _clocked(running) for _ in range(repeats)]
    return Ratio(statistics.median(gains), min(gains), max(gains))


def _clocked(processes: Sequence[subprocess.Popen[str]]) -> float:
    """Return the seconds until all processes have done a repetition that they began at once."""
    start = time.perf_counter()
    for process in processes:
        _tell(process)
    for process in processes:
        _answer(process)
    return time.perf_counter() - start


def _start(module: str, case: Case, peer: Path | None) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(REPOSITORY), *([str(peer.resolve())] if peer else [])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(case.threads)}
    command = [sys.executable, "-m", module, json.dumps(case._asdict())]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
    )


def _repeat(process: subprocess.Popen[str]) -> dict[str, Any]:
    _tell(process)
    return _answer(process)


def _tell(process: subprocess.Popen[str]) -> None:
    if process.stdin is None:
        raise UserError("a process of the benchmark has no standard input: run it again")
    try:
        process.stdin.write("\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # the process has ended: what it said of it is above, and no answer comes


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = "" if process.stdout is None else process.stdout.readline()
    if not line:
        raise UserError(f"a process of the benchmark has ended early, see above: {process.args!r}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _side(work: dict[str, Any], answers: Sequence[dict[str, Any]], clock: str) -> Side:
    seconds = tuple(answer[clock] for answer in answers)
    return Side(**work, seconds=seconds, peak_gb=max(answer["peak_gb"] for answer in answers))
