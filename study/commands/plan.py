"""`usplit plan`: what a study would run."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from study.commands.spaces import study_from
from study.ledger import TrialStatus, read_statuses
from study.runner import PreparedStudy, prepare
from study.store import Store
from usplit_core.cost import estimate


def plan_command(space: str, settings: list[str], store: Path, *, name: str | None) -> None:
    """Print the trials of a study, what each costs and what is already there; compute nothing."""
    study = study_from(space, settings, name)
    prepared = prepare(study)
    root = Store(store.expanduser().resolve())
    known = {status.fingerprint: status for status in read_statuses(root.ledger, study.name)}
    console = Console()
    console.print(f"[bold]{study.name}[/]: {study.question}", soft_wrap=True)
    console.print(_table(prepared, known))
    trials = len(prepared.trials)
    evaluations = sum(len(trial.tilings) for trial in prepared.trials)
    done = sum(status.state == "finished" for status in known.values())
    scored = sum(status.evaluations_done for status in known.values())
    console.print(
        f"{trials} trainings, of which {done} are there; {evaluations} evaluations, of which {scored} are there.",
        highlight=False,
    )


def _table(prepared: PreparedStudy, known: dict[str, TrialStatus]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trial", no_wrap=True)
    table.add_column("fingerprint", no_wrap=True)
    for heading in ("parameters", "GFLOP/patch", "epochs", "evaluations"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for trial in prepared.trials:
        cost = estimate(trial.run)
        status = known.get(trial.fingerprint)
        table.add_row(
            trial.label,
            trial.fingerprint[:12],
            f"{cost.parameters:,}",
            f"{cost.forward_flops_per_patch / 1e9:.2f}",
            str(trial.run.train.epochs),
            str(len(trial.tilings)),
            status.state if status else "new",
        )
    return table
