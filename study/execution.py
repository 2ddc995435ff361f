"""Ray Tune as the executor: it is fed trial by trial and sends back what the workers report.

Each launch is a fresh Tuner; what has been done is known from the ledger and the trial folders,
never from Tune's own records.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from study.trial import Assignment, Message, trainable

#: Repeats of a trial whose worker or node was lost; it goes on from its last checkpoint.
_RETRIES = 3

Deliver = Callable[[str, Message], None]
Lose = Callable[[str, str], None]


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

    def __init__(self, assignments: Iterator[Assignment]) -> None:
        super().__init__(metric=None, mode=None)
        self._assignments = _DriverOnly(assignments)

    def suggest(self, trial_id: str) -> Any:
        assignment = next(self._assignments.value, None)
        if assignment is None:
            return Searcher.FINISHED
        return {"assignment": json.dumps(assignment._asdict()), "fingerprint": assignment.fingerprint}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Results reach the driver through the callback below."""

    def save(self, checkpoint_path: str) -> None:
        """The ledger is the record of what was assigned."""

    def restore(self, checkpoint_path: str) -> None:
        """Tune never restores this searcher: each launch makes a new one."""


class _MessageCallback(tune.Callback):
    """Hands each message of a worker to the driver."""

    def __init__(self, deliver: Deliver, lose: Lose) -> None:
        self._deliver = _DriverOnly(deliver)
        self._lose = _DriverOnly(lose)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "kind" in result:
            self._deliver.value(result["fingerprint"], result)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        error = trial.get_error()
        lines = str(error or "").strip().splitlines() or ["the worker was lost"]
        self._lose.value(trial.config["fingerprint"], lines[-1])


def execute(
    assignments: Iterable[Assignment],
    frames: Mapping[str, NDArray[Any]],
    *,
    cpus: int,
    gpus: float,
    folder: Path,
    deliver: Deliver,
    lose: Lose,
) -> None:
    """Run assignments on the connected Ray cluster until there are no more.

    Parameters
    ----------
    assignments
        Taken one by one, each when there is room for it.
    frames
        Frames (N, C, Y, X) by content hash; one copy a node, shared by its workers.
    cpus, gpus
        What one trial occupies.
    folder
        Where Tune keeps its own notes.
    deliver
        Takes the fingerprint and each message of a worker, in the driver.
    lose
        Takes the fingerprint and the reason of a trial that was given up after all repeats.
    """
    worker = tune.with_resources(tune.with_parameters(trainable, frames=dict(frames)), {"cpu": cpus, "gpu": gpus})
    tuner = tune.Tuner(
        worker,
        tune_config=tune.TuneConfig(
            search_alg=_AssignmentSearcher(iter(assignments)),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder),
            callbacks=[_MessageCallback(deliver, lose)],
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        # Every launch makes a fresh Tuner, so what this one noted down serves nobody.
        shutil.rmtree(folder / "tune", ignore_errors=True)


def _name(trial: Trial) -> str:
    return f"{trial.config['fingerprint'][:12]}-{trial.trial_id}"
