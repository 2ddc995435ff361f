"""Run a study: read, check, compute what is missing, settle the books."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console

from study import environment
from study.engine.ledger import Ledger, TrialStatus
from study.engine.progress import Board, shown
from study.engine.sources import PastPoint, Point, Source
from study.planning.configurations import sample_of_search
from study.planning.datasets import DataKey, Dataset, data_key, read_datasets, shared_bytes
from study.planning.design import PlannedTrial, in_generation, plan_trials, trials_of_point
from study.planning.extension import check_extends
from study.planning.machine import this_machine
from study.planning.plan import PlanInput, build_plan, refuse, warnings
from study.planning.preflight import check, check_origins
from study.planning.workload import data_bytes, part_shapes
from study.sharing.shared_store import check_shared, fetched
from study.spec import Population, Study, train_runs
from study.store import Store
from usplit_core.config import DataConfig, RunConfig
from usplit_core.errors import UserError
from usplit_core.settings import Setting

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

    from study.cluster.local import LocalRay
    from study.engine.driver import Driver
    from study.engine.points import Points


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

    def content_of(data: DataConfig) -> str:
        return datasets[data_key(data)].content

    trials = plan_trials(study, content_of)
    check(trials or sample_of_search(study, content_of), datasets)
    return PreparedStudy(study, trials, datasets)


def foresee(prepared: PreparedStudy, store: Store) -> list[str]:
    """Return what a user should know before the study is begun on this machine.

    Raises
    ------
    ResourceError
        If a trial asks for more cores or GPUs than this machine has.
    StoreError
        If there is no space for what the study would write.
    """
    plan = build_plan(PlanInput(prepared.study, prepared.trials, prepared.datasets, store, this_machine()))
    refuse(plan)
    return warnings(plan)


def run_study(
    prepared: PreparedStudy,
    store: Store,
    *,
    console: Console,
    address: str | None = None,
    fresh: bool = False,
    accepted: Callable[[], None] = lambda: None,
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
    accepted
        Called once the store has taken the study, before anything is computed.

    Raises
    ------
    UserError
        If the store or the cluster cannot be used.
    """
    environment.set_defaults()
    started = time.monotonic()
    study = prepared.study
    check_shared(store)
    with Ledger.open(store.ledger, study.name) as ledger:
        # Of an earlier launch; from now on `usplit stop` sees this one running, and means it.
        store.stop_request(study.name).unlink(missing_ok=True)
        check_extends(study, ledger.description(study.name))
        check_origins(prepared.trials, lambda fingerprint: fetched(store, fingerprint))
        ledger.register(study, prepared.trials)
        accepted()
        with _head_start(prepared, ledger, address, fresh=fresh) as local:
            driver, interrupted = _compute(
                prepared, store, ledger, console=console, address=address, fresh=fresh, local=local
            )
        return StudyOutcome(
            statuses=ledger.statuses(study.name),
            interrupted=interrupted,
            stop_reason=driver.stop_reason or driver.held_back,
            trained=driver.trained,
            evaluated=driver.evaluated,
            seconds=time.monotonic() - started,
            trials=driver.trials,
        )


def _head_start(
    prepared: PreparedStudy, ledger: Ledger, address: str | None, *, fresh: bool
) -> AbstractContextManager["LocalRay | None"]:
    """Return Ray on this machine, which begins to start; nothing where another is used, or none will be needed.

    It takes as long as what is still to be imported. It begins once the study has been checked: a
    mistake must be told at once, and a Ray that is starting cannot be stopped before it runs.
    """
    statuses = ledger.statuses(prepared.study.name)
    is_needed = fresh or prepared.study.is_search or any(status.is_open for status in statuses)
    if address is not None or not is_needed:
        return nullcontext()
    from study.cluster.local import LocalRay

    return LocalRay(shared_bytes(prepared.datasets))


def _compute(
    prepared: PreparedStudy,
    store: Store,
    ledger: Ledger,
    *,
    console: Console,
    address: str | None,
    fresh: bool,
    local: "LocalRay | None",
) -> tuple["Driver", bool]:
    """Compute what is open; return the driver, and whether it was interrupted."""
    # Imported here: MLflow takes seconds, and a study that cannot run should say so at once.
    from study.cluster.connection import ClusterLost
    from study.engine.driver import Driver
    from study.tracking.tracker import Tracker

    study = prepared.study
    tracker = Tracker(store, study)

    def take_up() -> tuple[Driver, "Points | None"]:
        points, trials = _search(prepared, ledger)
        return Driver(study, trials, store=store, ledger=ledger, tracker=tracker), points

    driver, points = take_up()
    if fresh:
        driver.discard_results()
        driver, points = take_up()
    driver.recover()
    driver.begin(points)
    interrupted = False
    if driver.has_work():
        folder = store.study_folder(study.name)
        folder.mkdir(parents=True, exist_ok=True)
        board = Board(driver.trials, ledger.statuses(study.name), lambda: tracker.problem)
        driver.show_trials = board.add
        with shown(board, console, folder / "log.jsonl") as driver.show:
            try:
                _run_on_ray(prepared, driver, store, address, local)
            except KeyboardInterrupt:
                interrupted = True
            except ClusterLost:
                driver.settle()
                raise
    return driver, driver.settle() or interrupted


def _search(prepared: PreparedStudy, ledger: Ledger) -> tuple["Points | None", list[PlannedTrial]]:
    """Return the search of a study, if it is one, and the trials that are known before it draws."""
    study = prepared.study
    if not study.is_search:
        return None, list(prepared.trials)
    from study.engine.points import Points

    def trials_with(settings: Mapping[str, Setting]) -> list[PlannedTrial]:
        return trials_of_point(study, settings, lambda data: prepared.datasets[data_key(data)].content)

    def expand(point: Point | PastPoint) -> list[PlannedTrial]:
        return in_generation(trials_with(point.settings), point.number, study.design)

    past, still_open = ledger.points(study.name)
    source: Source
    if isinstance(study.design, Population):
        from study.engine.population import PopulationSource

        source = PopulationSource(study, past, still_open, lambda settings: trials_with(settings)[0].fingerprint)
    else:
        from study.engine.search import SearchSource

        source = SearchSource(study, past, still_open)
    points = Points(study, source, ledger, expand)
    known = [trial for point in past for trial in expand(point)] + points.resume(still_open)
    trials = list({trial.fingerprint: trial for trial in known}.values())
    ledger.register(study, trials)
    return points, trials


def _run_on_ray(
    prepared: PreparedStudy, driver: "Driver", store: Store, address: str | None, local: "LocalRay | None"
) -> None:
    from study.cluster.connection import ClusterLost, connected
    from study.cluster.nodes import check_nodes
    from study.cluster.signals import ended_like_by_ctrl_c
    from study.engine.execution import execute
    from study.engine.slots import Slots

    study, datasets = prepared.study, prepared.datasets
    frames = {dataset.content: dataset.sent for dataset in datasets.values()}
    with connected(address, shared_bytes=shared_bytes(datasets), local=local) as check_head, ended_like_by_ctrl_c():
        if address is not None:
            check_nodes(store.shared or str(store.root))
        driver.connect(datasets, Slots(study.resources, lambda run: _device_bytes(run, datasets)))
        for dataset in datasets.values():  # from now on, the copy that workers share is enough
            dataset.release()
        try:
            execute(driver, frames, check_cluster=check_head, scheduler=_scheduler(prepared), is_local=address is None)
        except ClusterLost:
            raise  # the books are settled once Ray, which answers no more, has been left
        except UserError:
            with suppress(UserError):  # the first one tells more
                driver.settle()
            raise


def _device_bytes(run: RunConfig, datasets: Mapping[DataKey, Dataset]) -> int:
    """Return what the images of a run take on the device of its trial."""
    dataset = datasets[data_key(run.data)]
    if dataset.is_mapped:  # patches are gathered from files, in the memory of the node
        return 0
    outline = dataset.outline
    return data_bytes(run, part_shapes(outline.shape, run.data), np.dtype(outline.dtype).itemsize)


def _scheduler(prepared: PreparedStudy) -> "TrialScheduler | None":
    if prepared.study.stopping is None:
        return None
    from study.engine.scheduling import scheduler_of

    return scheduler_of(prepared.study.stopping, max(run.train.epochs for run in train_runs(prepared.study)))
