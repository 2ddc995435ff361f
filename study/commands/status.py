"""`usplit status`: what has become of the trials of a study."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.engine.ledger import TrialStatus, read_spent, read_statuses
from study.engine.ledger_file import running_study
from study.errors import StoreError
from study.store import Store, existing_store
from usplit_core.vocabulary import MONITOR


def status_command(study: str, store: Path) -> None:
    """Print a line for each trial and a summary; reads only, so it works beside a running study.

    Raises
    ------
    StoreError
        If there is no such store or study.
    """
    places = existing_store(store)
    statuses = read_statuses(places.ledger, study)
    if not statuses:
        raise StoreError(f"study {study!r}: the store {store} has none of that name")
    console = Console()
    console.print(_table(statuses, _last_epochs(places, study)))
    console.print(_summary(places, study, statuses), highlight=False, markup=False, soft_wrap=True)


def _table(statuses: list[TrialStatus], epochs: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trial")
    table.add_column("state")
    for heading in ("epoch", "PSNR (dB)", "tilings"):
        table.add_column(heading, justify="right")
    table.add_column("reason")
    for status in statuses:
        last = epochs.get(status.fingerprint)
        table.add_row(
            escape(status.label),
            "running" if status.state == "leased" else status.state,
            f"{last['epoch']}/{last['epochs']}" if last else "",
            f"{last['metrics'][MONITOR.key]:.2f}" if last else "",
            f"{status.evaluations_done}/{status.evaluations_planned}",
            escape(status.reason),
        )
    return table


def _last_epochs(store: Store, study: str) -> dict[str, dict[str, Any]]:
    """Return the last epoch that each trial has reported, from the study's log."""
    log = store.study_folder(study) / "log.jsonl"
    if not log.exists():
        return {}
    # A line that is being written has no end yet.
    lines = (json.loads(line) for line in log.read_text("utf-8").split("\n")[:-1])
    return {line["trial"]: line for line in lines if line["kind"] == "epoch"}


def _summary(store: Store, study: str, statuses: list[TrialStatus]) -> str:
    counts = Counter("running" if status.state == "leased" else status.state for status in statuses)
    done = sum(status.evaluations_done for status in statuses)
    planned = sum(status.evaluations_planned for status in statuses)
    spent = read_spent(store.ledger, study)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    running = running_study(store.ledger) == study
    return (
        f"\n{len(statuses)} trials: {states}; {done} of {planned} evaluations.\n"
        f"{spent.device_hours:.2g} device-hours, {spent.steps} steps so far. "
        + ("The study is running." if running else "No driver is running it.")
    )
