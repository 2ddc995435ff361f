"""Ray Tune as the executor: it is fed trial by trial and sends back what the workers report.

Each launch is a fresh Tuner; what has been done is known from the ledger and the trial folders,
never from Tune's own records.
"""

import json
import tempfile
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import ray
from ray import tune
from ray.tune.execution.class_cache import DEFAULT_ENV_VARS, ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.engine.trial import Assignment, Message, Sent, trainable
from study.planning.cache import tidy_node
from usplit_core.errors import UserError

_Answer = TypeVar("_Answer")

#: Tune hands these to workers on their command line, which every user of a node can read. Workers need no keys.
_KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}
#: Repeats of a trial whose worker or node was lost; it goes on from its last checkpoint.
_RETRIES = 3
#: So long are nodes waited for at the end, to remove temporary files.
_TIDY_S = 10.0


class Books(Protocol):
    """What this module wants of the driver."""

    def next_assignment(self) -> Assignment | None:
        """Return the next assignment, or None where there is none at this moment."""

    def has_leases(self) -> bool:
        """Return whether workers have trials."""

    def take(self, fingerprint: str, message: Message) -> None:
        """Take a message of a worker."""

    def end(self, fingerprint: str, last: Message) -> None:
        """Take note that Ray has ended a trial, whose last message this was."""

    def lose(self, fingerprint: str, reason: str) -> None:
        """Take note that a trial was given up after all repeats."""

    def must_stop(self) -> bool:
        """Return whether all trials are to be ended."""


class _GuardedBooks:
    """The driver's books until they raise an error of use: then nothing more is booked, and all trials are ended.

    Tune would make an error of its own of it, with a traceback for a message.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self.problem: UserError | None = None

    def next_assignment(self) -> Assignment | None:
        return self._ask(self._books.next_assignment, None)

    def has_leases(self) -> bool:
        return self._ask(self._books.has_leases, False)

    def take(self, fingerprint: str, message: Message) -> None:
        self._ask(lambda: self._books.take(fingerprint, message), None)

    def end(self, fingerprint: str, last: Message) -> None:
        self._ask(lambda: self._books.end(fingerprint, last), None)

    def lose(self, fingerprint: str, reason: str) -> None:
        self._ask(lambda: self._books.lose(fingerprint, reason), None)

    def must_stop(self) -> bool:
        return self._ask(self._books.must_stop, True)

    def _ask(self, question: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        """Return the answer of the books, or another one once they have raised."""
        if self.problem is None:
            try:
                return question()
            except UserError as problem:
                self.problem = problem
        return otherwise


class _DriverOnly:
    """A value that stays in the driver: Tune copies and pickles what holds it, and gets an empty one."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> "_DriverOnly":
        return self

    def __reduce__(self) -> tuple[type["_DriverOnly"], tuple[()]]:
        return (_DriverOnly, ())


class _AssignmentSearcher(Searcher):
    """Gives Tune the next assignment whenever it has room for one."""

    def __init__(self, books: Books) -> None:
        super().__init__(metric=None, mode=None)
        self._books = _DriverOnly(books)

    def suggest(self, trial_id: str) -> Any:
        assignment = self._books.value.next_assignment()
        if assignment is not None:
            shown = {name: getattr(assignment, name) for name in ("fingerprint", "cpus", "gpus")}
            return {"assignment": json.dumps(assignment._asdict()), **shown}
        # A trial that a worker has may come back, or tell a search what to draw next: then ask again.
        return None if self._books.value.has_leases() else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Results reach the driver through the callback below."""

    def save(self, checkpoint_path: str) -> None:
        """The ledger is the record of what was assigned."""

    def restore(self, checkpoint_path: str) -> None:
        """Tune never restores this searcher: each launch makes a new one."""


class _MessageCallback(tune.Callback):
    """Hands each message of a worker to the driver."""

    def __init__(self, books: Books) -> None:
        self._books = _DriverOnly(books)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "kind" in result:
            self._books.value.take(result["fingerprint"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._books.value.end(trial.config["fingerprint"], trial.last_result or {})

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        error = trial.get_error()
        lines = str(error or "").strip().splitlines() or ["the worker was lost"]
        self._books.value.lose(trial.config["fingerprint"], lines[-1])


class _Abandoned(BaseException):
    """The cluster is lost: no exception, for which Tune would tidy up at nodes that answer no more, for minutes."""


class _StopWhenAsked(tune.Stopper):
    """Ends all trials when the driver says so."""

    def __init__(self, books: Books, check_cluster: Callable[[], None]) -> None:
        self._books = _DriverOnly(books)
        self._check_cluster = _DriverOnly(check_cluster)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        try:
            self._check_cluster.value()
        except UserError as lost:
            raise _Abandoned from lost
        return bool(self._books.value.must_stop())


class _Silence(tune.ProgressReporter):
    """Reports nothing: Tune's own reporter clears the output of a notebook's cell."""

    def should_report(self, trials: list[Trial], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Trial], done: bool, *sys_info: str) -> None:
        """Never called."""


def execute(
    books: Books,
    frames: dict[str, Sent],
    *,
    check_cluster: Callable[[], None] = lambda: None,
    scheduler: TrialScheduler | None = None,
    is_local: bool = False,
) -> None:
    """Run assignments on the connected Ray cluster until there are no more.

    Parameters
    ----------
    books
        Gives assignments and takes what becomes of them, in this process.
    frames
        Frames (N, C, Y, X) by content hash, one copy a node, shared by its workers; or which files they map.
        Emptied, so that this process need not keep a copy beside that of its node.
    check_cluster
        Called again and again; raises a `UserError` where the cluster is lost, which Ray may not notice.
    scheduler
        Ends trials that fall behind; None = none.
    is_local
        Whether the cluster is this machine alone, where workers inherit the environment of this process.

    Raises
    ------
    UserError
        What `books` or `check_cluster` raise; all trials have been ended then.
    """
    guarded = _GuardedBooks(books)
    # A worker with an environment of its own would be started anew, though one that is ready waits.
    DEFAULT_ENV_VARS.clear()
    ENV_VARS_TO_PROPAGATE.difference_update(set(ENV_VARS_TO_PROPAGATE) if is_local else _KEYS)
    tidy_node()  # of what a study left that was killed; and once more when this process ends
    # Every launch makes a fresh Tuner, so what this one notes down serves nobody, and must not need the store.
    with tempfile.TemporaryDirectory(prefix="usplit-") as folder:
        try:
            _tuner(guarded, frames, folder, check_cluster, scheduler).fit()
        except _Abandoned as abandoned:
            raise abandoned.__cause__ or abandoned from None
    _tidy_nodes()
    if guarded.problem is not None:
        raise guarded.problem


def _tidy_nodes() -> None:
    """Remove what trials shared at their nodes: workers that were ended in the middle of a trial could not."""
    tidy_node()
    here = ray.get_runtime_context().get_node_id()
    task: Any = ray.remote(tidy_node)
    others = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]  # type: ignore[no-untyped-call] # Ray's gap
    there = (NodeAffinitySchedulingStrategy(node, soft=False) for node in others)
    asked = [task.options(num_cpus=0, scheduling_strategy=place).remote() for place in there]
    if asked:
        ray.wait(asked, num_returns=len(asked), timeout=_TIDY_S)


def _tuner(
    books: Books,
    frames: dict[str, Sent],
    folder: str,
    check_cluster: Callable[[], None],
    scheduler: TrialScheduler | None,
) -> tune.Tuner:
    worker = tune.with_resources(tune.with_parameters(trainable, frames=dict(frames)), _resources)
    frames.clear()
    return tune.Tuner(
        worker,
        tune_config=tune.TuneConfig(
            search_alg=_AssignmentSearcher(books),
            scheduler=scheduler,
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=folder,
            stop=_StopWhenAsked(books, check_cluster),
            callbacks=[_MessageCallback(books)],
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            verbose=0,
            progress_reporter=_Silence(),
        ),
    )


def _resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """Return what a trial occupies, as its assignment says."""
    return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])


def _name(trial: Trial) -> str:
    return f"{trial.config['fingerprint'][:12]}-{trial.trial_id}"
