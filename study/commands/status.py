"""`usplit status`: what has become of the trials of a study."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from study.errors import StoreError
from study.ledger import read_statuses
from study.store import existing_store


def status_command(study: str, store: Path) -> None:
    """Print a line for each trial; reads only, so it works beside a running study."""
    statuses = read_statuses(existing_store(store).ledger, study)
    if not statuses:
        raise StoreError(f"study {study!r}: the store {store} has none of that name")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("trial", "state", "evaluations", "reason"):
        table.add_column(heading)
    for status in statuses:
        table.add_row(
            status.label,
            "running" if status.state == "leased" else status.state,
            f"{status.evaluations_done}/{status.evaluations_planned}",
            status.reason,
        )
    Console().print(table)
