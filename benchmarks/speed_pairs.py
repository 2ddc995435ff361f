"""Times two processes alternately, so that what else runs on the machine meets both of them.

Each side is a program of `benchmarks.speed_subject`. With one thread the seconds are those of the processor, which
other work disturbs least; with several they are those of the clock.
"""

import json
import os
import statistics
import subprocess
import sys
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
        Repetitions that count; one before them does not.
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
        answers = [[_repeat(process) for process in running] for _ in range(repeats + 1)][1:]
    clocks = ["busy_seconds" if case.threads == 1 else "seconds" for _, case in programs]
    return [
        _side(work, [row[index] for row in answers], clock)
        for index, (work, clock) in enumerate(zip(prepared, clocks, strict=True))
    ]


def _start(module: str, case: Case, peer: Path | None) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(REPOSITORY), *([str(peer.resolve())] if peer else [])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(case.threads)}
    command = [sys.executable, "-m", module, json.dumps(case._asdict())]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
    )


def _repeat(process: subprocess.Popen[str]) -> dict[str, Any]:
    if process.stdin is None:
        raise UserError("a process of the benchmark has no standard input: run it again")
    try:
        process.stdin.write("\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # the process has ended: what it said of it is above, and no answer comes
    return _answer(process)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = "" if process.stdout is None else process.stdout.readline()
    if not line:
        raise UserError(f"a process of the benchmark has ended early, see above: {process.args!r}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _side(work: dict[str, Any], answers: Sequence[dict[str, Any]], clock: str) -> Side:
    seconds = tuple(answer[clock] for answer in answers)
    return Side(**work, seconds=seconds, peak_gb=max(answer["peak_gb"] for answer in answers))
