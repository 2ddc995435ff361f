"""`usplit doctor`: what is wrong with this machine, a store and a cluster."""

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study import environment
from study.cluster.findings import Finding, worst
from usplit_core.errors import UserError

_SIGNS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}
_PROBLEMS = 2


def doctor_command(store: Path, address: str | None, shared: str | None = None) -> None:
    """Print a line for each thing looked at; exit code 2 if there is a problem."""
    environment.set_defaults()
    from study.cluster.doctor import examine_machine, examine_objects, examine_store
    from study.store import refuse_object_store, remembered_shared

    refuse_object_store(store)
    shared = shared or remembered_shared(store)
    findings = [*examine_machine(), *examine_store(store)]
    if shared is not None:
        findings.append(examine_objects(shared))
    if address is not None:
        findings += _examine_cluster(store, address, shared)
    console = Console()
    console.print(_table(findings))
    for finding in findings:
        if finding.remedy:
            line = f"{finding.level} {finding.what}: {finding.seen}: {finding.remedy}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if worst(findings) == "problem":
        sys.exit(_PROBLEMS)


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "what", "seen"):
        table.add_column(heading)
    for finding in findings:
        table.add_row(_SIGNS[finding.level], escape(finding.what), escape(finding.seen))
    return table


def _examine_cluster(store: Path, address: str, shared: str | None) -> list[Finding]:
    from study.cluster.connection import connected
    from study.cluster.nodes import inspect, judge, versions, versions_table
    from study.store import open_store

    place = shared or str(open_store(store).root)
    try:
        with connected(address, shared_bytes=0):
            reports = inspect(place)
    except UserError as error:
        return [Finding("problem", f"cluster {address}", str(error), "then call doctor again")]
    for line in versions_table(reports, versions()):
        sys.stdout.write(f"{line}\n")
    return judge(reports, versions(), place)
