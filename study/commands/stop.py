"""`usplit stop`: end a running study from another terminal, or from another machine that sees the store."""

import time
from pathlib import Path

from rich.console import Console

from study.commands.program import program
from study.engine.ledger_file import running_study
from study.errors import StoreError
from study.store import existing_store

_PATIENCE_S = 120.0
_BETWEEN_LOOKS_S = 0.2


def stop_command(study: str, store: Path) -> None:
    """Ask the driver of a study to stop, and wait until it has.

    Raises
    ------
    StoreError
        If the study does not run, or its driver does not answer.
    """
    places = existing_store(store)
    running = running_study(places.ledger)
    if running != study:
        other = f"; {running} does" if running else ""
        raise StoreError(f"study {study!r} does not run in {places.root}{other}: nothing was stopped")
    request = places.stop_request(study)
    request.parent.mkdir(parents=True, exist_ok=True)  # the study may have just begun
    request.touch()
    console = Console()
    with console.status(f"stopping {study}"):
        deadline = time.monotonic() + _PATIENCE_S
        while running_study(places.ledger) == study:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"study {study!r} has not stopped after {_PATIENCE_S:.0f} s: end its process; nothing is lost"
                )
            time.sleep(_BETWEEN_LOOKS_S)  # a lock of another process: nothing tells when it is given back
    request.unlink(missing_ok=True)
    console.print(f"Stopped. Go on with: {program()} resume {study} --store {store}", highlight=False, soft_wrap=True)
