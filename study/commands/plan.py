"""`usplit plan`: what a study would take."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study import environment
from study.commands.spaces import study_from
from study.engine.runner import prepare
from study.planning.configurations import Configuration
from study.planning.machine import this_machine
from study.planning.plan import Plan, PlanInput, build_plan, refuse, warnings
from study.store import Store

#: More configurations than this are shown by their ranges.
_MOST_ROWS = 30
_WIDTH = 100
_UNKNOWN = "?"


def plan_command(space: str, settings: list[str], store: Path, *, name: str | None, probing: bool = False) -> None:
    """Print the configurations of a study, what each takes and what is already there.

    Raises
    ------
    UserError
        What `usplit run` would refuse.
    """
    environment.set_defaults()
    study = study_from(space, settings, name)
    prepared = prepare(study)
    root = Store(store.expanduser().resolve())
    given = PlanInput(study, prepared.trials, prepared.datasets, root, this_machine())
    plan = build_plan(given, probing=probing)
    console = Console()
    if not console.is_terminal or console.width > _WIDTH:
        console = Console(width=_WIDTH)
    console.print(f"[bold]{study.name}[/]: {escape(study.question)}", soft_wrap=True)
    many = plan.sampled or len(plan.configurations) > _MOST_ROWS
    console.print(ranges_table(plan.configurations) if many else configurations_table(plan.configurations))
    for line in total_lines(plan):
        console.print(line, highlight=False, markup=False)
    for line in warnings(plan):
        console.print(f"warning: {line}", highlight=False, markup=False)
    refuse(plan)


def configurations_table(configurations: Sequence[Configuration]) -> Table:
    """Return one row for each configuration."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("configuration", overflow="fold")
    for heading in ("trials", "to train", "to score", *(heading for heading, _, _ in _COLUMNS)):
        table.add_column(heading, justify="right")
    for one in configurations:
        numbers = [_show(value(one), text) for _, value, text in _COLUMNS]
        table.add_row(escape(one.label), str(one.trials), str(one.to_train), str(one.evaluations_to_do), *numbers)
    return table


def ranges_table(configurations: Sequence[Configuration]) -> Table:
    """Return the smallest, the middle and the largest of each number."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"of {len(configurations)} configurations")
    for heading in ("smallest", "median", "largest"):
        table.add_column(heading, justify="right")
    for heading, value, text in _COLUMNS:
        numbers = sorted(number for one in configurations if (number := value(one)) is not None)
        chosen = [numbers[0], numbers[len(numbers) // 2], numbers[-1]] if numbers else [None] * 3
        table.add_row(heading, *(_show(number, text) for number in chosen))
    return table


def total_lines(plan: Plan) -> list[str]:
    """Return the totals as lines for a reader."""
    totals, configurations = plan.totals, plan.configurations
    states = {
        state: sum(one.states.get(state, 0) for one in configurations) for state in ("finished", "pruned", "resumable")
    }
    words = {"finished": "finished", "pruned": "stopped early by the study's rule", "resumable": "begun"}
    there = ", ".join(f"{count} {words[state]}" for state, count in states.items() if count)
    done = sum(one.evaluations_done for one in configurations)
    lines = []
    if plan.sampled:
        lines.append(f"{plan.sampled} trials that the search might draw were looked at; what follows is for all.")
    lines += [
        f"{totals.trials} trainings{f' ({there})' if there and not plan.sampled else ''}, "
        f"{totals.evaluations} evaluations{f' ({done} there)' if done and not plan.sampled else ''}",
        f"To do: {totals.to_train} trainings, {totals.steps:,} steps, {totals.evaluations_to_do} evaluations",
        _time_line(plan),
        f"Disk: about {_bytes(totals.disk_bytes)} of {_bytes(plan.free_bytes)} that are free",
    ]
    return lines + [f"Left out: {count} combinations, since {reason}" for reason, count in plan.left_out]


def _time_line(plan: Plan) -> str:
    totals = plan.totals
    device = "GPU" if plan.place.device == "cuda" else "core"
    how = f"{plan.parallel} at a time"
    if device == "core":
        how += f" with {plan.place.threads} {'thread' if plan.place.threads == 1 else 'threads'} each"
    if totals.wall_seconds is None or totals.device_hours is None:
        unknown = sum(one.seconds_to_do is None for one in plan.configurations)
        return (
            f"Time: not known for {unknown} of {len(plan.configurations)} configurations, {how}; "
            "--probe measures a few steps of each network"
        )
    sources = {one.rate.source for one in plan.configurations if one.seconds_to_do}
    names = {"trials": "finished trials", "probe": "a few measured steps"}
    said_by = " and ".join(names[source] for source in sorted(sources) if source)
    said = f"; from {said_by}" if said_by else ""
    return f"Time: about {_duration(totals.wall_seconds)}, {how}, {totals.device_hours:.3g} {device}-hours{said}"


def _trial_seconds(one: Configuration) -> float | None:
    if one.train_seconds is None or one.evaluation_seconds is None:
        return None
    return one.train_seconds + one.evaluation_seconds * one.evaluations / max(1, one.trials)


def _show(number: float | None, text: Callable[[float], str]) -> str:
    return _UNKNOWN if number is None else text(number)


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _bytes(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 1e6:.0f} MB"


def _duration(seconds: float) -> str:
    for unit, size, from_seconds in (("days", 86400, 2 * 86400), ("h", 3600, 5400), ("min", 60, 90)):
        if seconds >= from_seconds:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.0f} s"


_Value = Callable[[Configuration], float | None]
_COLUMNS: tuple[tuple[str, _Value, Callable[[float], str]], ...] = (
    ("parameters", lambda one: one.size.cost and one.size.cost.parameters, _count),
    ("GFLOP/step", lambda one: one.size.cost and one.size.cost.step_flops / 1e9, lambda number: f"{number:,.3g}"),
    ("memory", lambda one: one.size.total_bytes, _bytes),
    ("steps", lambda one: one.work.steps, _count),
    ("a trial", _trial_seconds, _duration),
)
