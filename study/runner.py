"""Run a study: read, check, compute what is missing, settle the books."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from study import environment
from study.datasets import DataKey, Dataset, data_key, read_datasets
from study.design import PlannedTrial, plan_trials, trials_of_point
from study.extension import check_extends
from study.ledger import Ledger, TrialStatus
from study.preflight import check
from study.progress import Board, shown
from study.spec import Study, train_runs
from study.store import Store
from usplit_core.settings import Setting

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

    from study.driver import Driver
    from study.points import Points


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
        Whether it was stopped before all was computed; the same command goes on.
    stop_reason
        Why, where it was not Ctrl-C: the budget is used, or too many trials failed alike.
    trained, evaluated
        What this launch computed, in trials and evaluations.
    trials
        All trials, those that a search has drawn included.
    """

    statuses: list[TrialStatus]
    interrupted: bool
    stop_reason: str
    trained: int
    evaluated: int
    seconds: float
    trials: list[PlannedTrial]

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
    study = prepared.study
    with Ledger.open(store.ledger, study.name) as ledger:
        check_extends(study, ledger.description(study.name))
        ledger.register(study, prepared.trials)
        before = [] if fresh else ledger.statuses(study.name)
        interrupted, reason, trials = _compute(prepared, store, ledger, console=console, address=address, fresh=fresh)
        after = ledger.statuses(study.name)
    return StudyOutcome(
        statuses=after,
        interrupted=interrupted,
        stop_reason=reason,
        trained=_count_trained(after) - _count_trained(before),
        evaluated=_count_evaluations(after) - _count_evaluations(before),
        seconds=time.monotonic() - started,
        trials=trials,
    )


def _count_trained(statuses: Sequence[TrialStatus]) -> int:
    return sum(status.state in ("finished", "pruned") for status in statuses)


def _count_evaluations(statuses: Sequence[TrialStatus]) -> int:
    return sum(status.evaluations_done for status in statuses)


def _compute(
    prepared: PreparedStudy, store: Store, ledger: Ledger, *, console: Console, address: str | None, fresh: bool
) -> tuple[bool, str, list[PlannedTrial]]:
    """Compute what is open; return whether it was interrupted, why it stopped early, and all trials."""
    # Imported here: MLflow takes seconds, and a study that cannot run should say so at once.
    from study.driver import Driver
    from study.tracking import Tracker

    study = prepared.study
    points, trials = _search(prepared, ledger, fresh=fresh)
    driver = Driver(study, trials, store=store, ledger=ledger, tracker=Tracker(store, study))
    if fresh:
        driver.discard_results()
    driver.recover()
    statuses = driver.begin(points)
    store.stop_request(study.name).unlink(missing_ok=True)
    interrupted = False
    if driver.has_work():
        folder = store.study_folder(study.name)
        folder.mkdir(parents=True, exist_ok=True)
        board = Board(trials, statuses)
        driver.show_trials = board.add
        with shown(board, console, folder / "log.jsonl") as driver.show:
            try:
                _run_on_ray(prepared, driver, folder, address)
            except KeyboardInterrupt:
                interrupted = True
    stopped = driver.stop_reason
    return driver.settle() or interrupted, stopped, driver.trials


def _search(prepared: PreparedStudy, ledger: Ledger, *, fresh: bool) -> tuple["Points | None", list[PlannedTrial]]:
    """Return the search of a study, if it is one, and the trials that are known before it draws."""
    study = prepared.study
    if not study.is_search:
        return None, list(prepared.trials)
    from study.points import Points
    from study.search import SearchSource

    def expand(settings: Mapping[str, Setting]) -> list[PlannedTrial]:
        return trials_of_point(study, settings, lambda data: prepared.datasets[data_key(data)].content)

    if fresh:
        ledger.forget_points(study.name)
    past, still_open = ledger.points(study.name)
    points = Points(study, SearchSource(study, past, still_open), ledger, lambda point: expand(point.settings))
    known = [trial for point in past for trial in expand(point.settings)] + points.resume(still_open)
    trials = list({trial.fingerprint: trial for trial in known}.values())
    ledger.register(study, trials)
    return points, trials


def _run_on_ray(prepared: PreparedStudy, driver: "Driver", folder: Path, address: str | None) -> None:
    from study.cluster import connected
    from study.execution import execute
    from study.slots import Slots

    study, datasets = prepared.study, prepared.datasets
    frames = {dataset.content: dataset.frames.pixels for dataset in datasets.values()}
    with connected(address, shared_bytes=sum(pixels.nbytes for pixels in frames.values())):
        driver.connect(
            datasets, Slots(study.resources, lambda run: frames[datasets[data_key(run.data)].content].nbytes)
        )
        execute(driver, frames, folder=folder, scheduler=_scheduler(prepared))


def _scheduler(prepared: PreparedStudy) -> "TrialScheduler | None":
    if prepared.study.stopping is None:
        return None
    from study.scheduling import scheduler_of

    return scheduler_of(prepared.study.stopping, max(run.train.epochs for run in train_runs(prepared.study)))
