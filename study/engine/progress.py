"""What a user sees while a study runs: a live table in a terminal, plain lines elsewhere, a log file always."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from study.engine.ledger import TrialStatus
from study.engine.trial import Message
from study.planning.design import PlannedTrial
from usplit_core.vocabulary import MONITOR

_LOSS = "train/loss"


@dataclass
class TrialProgress:
    """What is known of one trial at this moment."""

    label: str
    state: str
    epoch: int = 0
    epochs: int = 0
    evaluations: int = 0
    evaluations_planned: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    place: str = ""
    first_report: tuple[float, int] | None = None

    def seconds_left(self, now: float) -> float | None:
        """Return the time to the last epoch at the pace since the first report, or None if unknown."""
        if self.state != "training" or self.first_report is None:
            return None
        since, first_epoch = self.first_report
        done = self.epoch - first_epoch
        return (now - since) / done * (self.epochs - self.epoch) if done > 0 else None


class Board:
    """The progress of all trials of a study, fed with the messages of the workers.

    `problem` returns what goes wrong beside the trials, such as a tracking store that is away; empty if nothing.
    """

    def __init__(
        self, trials: Sequence[PlannedTrial], statuses: Sequence[TrialStatus], problem: Callable[[], str] = lambda: ""
    ) -> None:
        self.problem = problem
        self.trials: dict[str, TrialProgress] = {}
        self.started = time.monotonic()
        self.add(trials)
        for status in statuses:
            self.trials[status.fingerprint].state = status.state
            self.trials[status.fingerprint].evaluations = status.evaluations_done

    def add(self, trials: Sequence[PlannedTrial]) -> None:
        """Take in trials that nothing is known of yet."""
        for trial in trials:
            self.trials.setdefault(
                trial.fingerprint,
                TrialProgress(
                    label=trial.label,
                    state="pending",
                    epochs=trial.run.train.epochs,
                    evaluations_planned=len(trial.tilings),
                ),
            )

    def update(self, fingerprint: str, message: Message) -> None:
        """Take in one message of a worker."""
        trial = self.trials[fingerprint]
        if message["kind"] == "started":
            trial.state = "starting"
            trial.place = _place(message)
        elif message["kind"] == "epoch":
            self._update_epoch(trial, message)
        elif message["kind"] == "evaluation":
            trial.state = "evaluating"
            trial.evaluations += 1
        elif message["kind"] == "retried":
            trial.state = "pending"
        else:
            trial.state = message["kind"]

    def _update_epoch(self, trial: TrialProgress, message: Message) -> None:
        trial.state, trial.epoch, trial.epochs = "training", message["epoch"], message["epochs"]
        trial.metrics = dict(message["metrics"])
        trial.first_report = trial.first_report or (time.monotonic(), trial.epoch)
        value = trial.metrics.get(MONITOR.key)
        if value is not None:
            trial.best = value if trial.best is None else max(trial.best, value)

    def seconds_left(self) -> float | None:
        """Return the estimated time until all trainings are done, or None before anything is known."""
        now = time.monotonic()
        running = [left for trial in self.trials.values() if (left := trial.seconds_left(now)) is not None]
        paces = [
            (now - trial.first_report[0]) / (trial.epoch - trial.first_report[1])
            for trial in self.trials.values()
            if trial.first_report and trial.epoch > trial.first_report[1]
        ]
        if not running or not paces:
            return None
        waiting = sum(trial.epochs for trial in self.trials.values() if trial.state == "pending")
        return max(running) + waiting * sum(paces) / len(paces) / len(running)


@contextmanager
def shown(board: Board, console: Console, log: Path) -> Iterator[Callable[[str, Message], None]]:
    """Show a board while a block runs; yields the function that takes messages.

    Parameters
    ----------
    board
        What is shown.
    console
        Where; a terminal gets a table that stays in place.
    log
        File that every message is added to, one JSON object a line.
    """
    with log.open("a") as lines:

        def record(fingerprint: str, message: Message) -> None:
            board.update(fingerprint, message)
            # Where storage is full, the line stays in the buffer and is written with a later one.
            with suppress(OSError):
                lines.write(json.dumps({"time": time.time(), "trial": fingerprint, **_public(message)}) + "\n")
                lines.flush()

        if console.is_terminal:
            with Live(console=console, get_renderable=lambda: _table(board), refresh_per_second=2, transient=True):
                yield record
            console.print(_table(board))
        else:
            told = ""

            def print_line(fingerprint: str, message: Message) -> None:
                nonlocal told
                record(fingerprint, message)
                lines = [_line(board, fingerprint, message)] if _worth_a_line(message) else []
                if told != (told := board.problem()) and told:
                    lines.append(f"note: {told}")
                for line in lines:
                    console.print(line, highlight=False, markup=False, soft_wrap=True)

            yield print_line


def _public(message: Message) -> dict[str, Any]:
    """Leave out what Tune adds to a message."""
    what = ("kind", "epoch", "epochs", "metrics", "key", "reason", "stopped", "best_epoch")
    where = ("host", "process", "cpus", "gpus")
    return {name: message[name] for name in what + where if name in message}


def _table(board: Board) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("trial", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("on", no_wrap=True)
    for heading in ("epoch", "loss", "PSNR (dB)", "best (dB)", "tilings", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    now = time.monotonic()
    for trial in board.trials.values():
        table.add_row(
            escape(trial.label),
            _COLOURS.get(trial.state, trial.state),
            escape(trial.place) if trial.state in _RUNNING else "",
            f"{trial.epoch}/{trial.epochs}" if trial.epoch else "",
            _number(trial.metrics.get(_LOSS), 3),
            _number(trial.metrics.get(MONITOR.key), 2),
            _number(trial.best, 2),
            f"{trial.evaluations}/{trial.evaluations_planned}",
            _duration(trial.seconds_left(now)),
        )
    left = board.seconds_left()
    table.caption = f"{_duration(now - board.started)} so far" + (f", about {_duration(left)} left" if left else "")
    if problem := board.problem():
        table.caption += f"\nnote: {escape(problem)}"
    table.caption_justify = "left"
    return table


_COLOURS = {
    "finished": "[green]finished[/]",
    "failed": "[red]failed[/]",
    "pruned": "[yellow]pruned[/]",
    "training": "[cyan]training[/]",
    "evaluating": "[cyan]evaluating[/]",
    "pending": "[dim]pending[/]",
}


#: States in which a trial occupies something.
_RUNNING = ("starting", "training", "evaluating")


def _place(message: Message) -> str:
    """Return where a trial runs and what it occupies, such as ``node1: 1 CPU, 0.25 GPU``."""
    gpus = f", {message['gpus']:g} GPU" if message.get("gpus") else ""
    return f"{message['host']}: {message.get('cpus', 1)} CPU{gpus}"


def _worth_a_line(message: Message) -> bool:
    """Print some ten lines a training where lines cannot be overwritten."""
    if message["kind"] != "epoch":
        return True
    interval = max(1, message["epochs"] // 10)
    return bool(message["epoch"] % interval == 0 or message["epoch"] == message["epochs"])


def _line(board: Board, fingerprint: str, message: Message) -> str:
    trial = board.trials[fingerprint]
    start = f"[{_duration(time.monotonic() - board.started):>7}] {trial.label}: "
    if message["kind"] == "epoch":
        left = board.seconds_left()
        return (
            f"{start}epoch {trial.epoch}/{trial.epochs}  loss {_number(trial.metrics.get(_LOSS), 3)}  "
            f"PSNR {_number(trial.metrics.get(MONITOR.key), 2)} dB" + (f"  ({_duration(left)} left)" if left else "")
        )
    if message["kind"] == "evaluation":
        text = f"evaluated {message['key']} ({trial.evaluations}/{trial.evaluations_planned})"
    else:
        text = message["kind"] + (f": {message['reason']}" if message.get("reason") else "")
    return start + text


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
