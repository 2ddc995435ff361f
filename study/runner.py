"""Run a study: read, check, compute what is missing, settle the books."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from study import environment
from study.datasets import DataKey, Dataset, data_key, read_datasets
from study.design import PlannedTrial, plan_trials
from study.errors import StoreError
from study.ledger import Ledger, TrialStatus
from study.preflight import check
from study.progress import Board, shown
from study.spec import Study, train_runs
from study.store import Store

if TYPE_CHECKING:
    from study.driver import Driver


class PreparedStudy(NamedTuple):
    """A study whose images have been read and whose runs have been checked."""

    study: Study
    trials: list[PlannedTrial]
    datasets: dict[DataKey, Dataset]


class StudyOutcome(NamedTuple):
    """What became of a study.

    Attributes
    ----------
    interrupted
        Whether the user stopped it; the same command goes on.
    trained, evaluated
        What this launch computed, in trials and evaluations.
    """

    statuses: list[TrialStatus]
    interrupted: bool
    trained: int
    evaluated: int
    seconds: float

    @property
    def failed(self) -> list[TrialStatus]:
        """The trials that could not be trained."""
        return [status for status in self.statuses if status.state == "failed"]


def prepare(study: Study) -> PreparedStudy:
    """Read the images of a study and check every run of it; nothing is computed.

    Raises
    ------
    UserError
        With what is wrong, its rule and the remedy.
    """
    datasets = read_datasets(train_runs(study))
    trials = plan_trials(study, lambda data: datasets[data_key(data)].content)
    check(trials, datasets)
    return PreparedStudy(study, trials, datasets)


def run_study(
    prepared: PreparedStudy, store: Store, *, console: Console, address: str | None = None, fresh: bool = False
) -> StudyOutcome:
    """Compute what a study still lacks.

    Parameters
    ----------
    prepared
        The study with its images.
    store
        Where everything is kept; finished trials in it are not repeated.
    console
        Where progress is shown.
    address
        Ray cluster; None = this machine.
    fresh
        Compute again what has been computed.

    Raises
    ------
    UserError
        If the store or the cluster cannot be used.
    """
    environment.set_defaults()
    started = time.monotonic()
    study, trials, _ = prepared
    with Ledger.open(store.ledger) as ledger:
        _check_extends(study, ledger)
        ledger.register(study, trials)
        before = [] if fresh else ledger.statuses(study.name)
        interrupted = _compute(prepared, store, ledger, console=console, address=address, fresh=fresh)
        after = ledger.statuses(study.name)
    trained = _count_finished(after) - _count_finished(before)
    evaluated = _count_evaluations(after) - _count_evaluations(before)
    return StudyOutcome(after, interrupted, trained, evaluated, time.monotonic() - started)


def _count_finished(statuses: Sequence[TrialStatus]) -> int:
    return sum(status.state == "finished" for status in statuses)


def _count_evaluations(statuses: Sequence[TrialStatus]) -> int:
    return sum(status.evaluations_done for status in statuses)


def _check_extends(study: Study, ledger: Ledger) -> None:
    """Refuse a name that another question has: its figures would mix what cannot be compared."""
    known = ledger.description(study.name)
    base = json.loads(json.dumps(study.describe()["base"]))  # lists for tuples, as the ledger has them
    if known is None or known["base"] == base:
        return
    differing = sorted(name for name in {*base, *known["base"]} if base.get(name) != known["base"].get(name))
    raise StoreError(
        f"the store has a study {study.name!r} with other settings ({', '.join(differing)}): "
        "give this one a name of its own with --name, or use another --store"
    )


def _compute(
    prepared: PreparedStudy, store: Store, ledger: Ledger, *, console: Console, address: str | None, fresh: bool
) -> bool:
    """Compute what is open; return whether the user interrupted it."""
    # Imported here: MLflow takes seconds, and a study that cannot run should say so at once.
    from study.driver import Driver
    from study.tracking import Tracker

    study, trials, _ = prepared
    driver = Driver(prepared.trials, store=store, ledger=ledger, tracker=Tracker(store, study), study=study.name)
    if fresh:
        driver.discard_results()
    driver.recover()
    statuses = ledger.statuses(study.name)
    interrupted = False
    if any(status.is_open for status in statuses):
        folder = store.study_folder(study.name)
        folder.mkdir(parents=True, exist_ok=True)
        with shown(Board(trials, statuses), console, folder / "log.jsonl") as driver.show:
            try:
                _run_on_ray(prepared, driver, folder, address)
            except KeyboardInterrupt:
                interrupted = True
    return driver.settle() or interrupted


def _run_on_ray(prepared: PreparedStudy, driver: "Driver", folder: Path, address: str | None) -> None:
    from study.cluster import connected, gpus_per_trial
    from study.execution import execute

    resources = prepared.study.resources
    frames = {dataset.content: dataset.frames.pixels for dataset in prepared.datasets.values()}
    with connected(address, shared_bytes=sum(pixels.nbytes for pixels in frames.values())):
        gpus = gpus_per_trial(resources)
        execute(
            driver.assignments(prepared.datasets, threads=resources.cpus, device="cuda" if gpus else "cpu"),
            frames,
            cpus=resources.cpus,
            gpus=gpus,
            folder=folder,
            deliver=driver.take,
            lose=driver.lose,
        )
