"""`usplit resume`: go on with a study by its name."""

from pathlib import Path

from study.commands.run import run_command
from study.engine.launch import read_launch
from study.store import existing_store


def resume_command(study: str, store: Path, address: str | None) -> None:
    """Run a study again as it was last started; what has been computed is kept.

    Raises
    ------
    UserError
        If the store has no study of that name, or as for a run.
    """
    launch = read_launch(existing_store(store), study)
    run_command(str(launch.space), launch.settings, store, name=study, address=address, fresh=False)
