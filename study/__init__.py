"""Plans and runs many trials: the words of a study, its ledger, Ray, tracking and the command line."""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.engine.result import StudyResult
    from study.spec import Study


def run(
    study: "Study",
    *,
    store: str | PathLike[str] = "usplit_store",
    address: str | None = None,
    fresh: bool = False,
    quiet: bool = False,
    shared: str | None = None,
) -> "StudyResult":
    """Run a study, or what of it has not been computed, and return its rows; for notebooks and scripts.

    Parameters
    ----------
    study
        What is asked.
    store
        Directory that holds everything; made where there is none.
    address
        Ray cluster, ``HOST:PORT`` or ``auto``; None = this machine.
    fresh
        Compute again what has been computed.
    quiet
        Show no progress.
    shared
        Object store, ``s3://BUCKET/PREFIX``, through which nodes share trials; remembered with the store.

    Raises
    ------
    UserError
        If anything about the study, its images, the store or the cluster is wrong.

    Examples
    --------
    >>> import study
    >>> from study.spec import Grid, Study
    >>> asked = Study(
    ...     name="depth", question="Useful?", base={"data.path": "cells.tif"}, train={"model.lc_depth": Grid(0, 2)}
    ... )
    >>> study.run(asked).best.label  # doctest: +SKIP
    """
    # Imported here: `usplit --help` imports this package and must answer at once.
    from pathlib import Path

    from rich.console import Console

    from study import environment

    environment.set_defaults()
    from study.engine.result import result_of
    from study.engine.runner import foresee, prepare, run_study
    from study.store import open_store

    prepared, places = prepare(study), open_store(Path(store), shared=shared)
    if address is None:
        foresee(prepared, places)
    # Jupyter shows an empty output even of a console that is quiet.
    console = Console(quiet=quiet, force_jupyter=False if quiet else None)
    outcome = run_study(prepared, places, console=console, address=address, fresh=fresh)
    return result_of(study, places, outcome.trials, outcome)
