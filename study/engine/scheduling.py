"""The stopping rule of a study as a Ray scheduler.

Ray's rules decide at each report of a trial. They see the epochs of the training and nothing else:
messages that are no epochs pass, and the last epoch is noted but stops nothing, since there is
nothing left to save. A trial that goes on after an interruption repeats its earlier epochs, and
closed trials are replayed, so every launch rebuilds the rule's memory from the trial folders. Epochs
that are repeated stop nothing either: the rule has decided about them, and may have known less then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from study.words.stopping import ASHA, Hyperband, MedianStopping, Stopping

#: Fields of an epoch's message that a rule looks at.
EPOCH, VALUE = "epoch", "monitor"
#: Field of an epoch's message that says that an earlier attempt has reported it already.
REPEATED = "repeated"


def scheduler_of(stopping: Stopping, longest: int) -> TrialScheduler:
    """Return Ray's scheduler for a rule.

    Parameters
    ----------
    stopping
        The rule.
    longest
        Epochs of the longest training.
    """
    rule: TrialScheduler
    what: dict[str, Any] = {"time_attr": EPOCH, "metric": VALUE, "mode": "max"}
    match stopping:
        case ASHA(grace_epochs=grace, reduction=reduction):
            rule = AsyncHyperBandScheduler(
                **what, max_t=_beyond(longest, grace), grace_period=grace, reduction_factor=reduction
            )
        case Hyperband(brackets=brackets, reduction=reduction):
            rule = AsyncHyperBandScheduler(
                **what, max_t=_beyond(longest, 1), reduction_factor=reduction, brackets=brackets
            )
        case MedianStopping(grace_epochs=grace, min_trials=others):
            # A slice without end: Ray would otherwise pause trials to let others catch up.
            endless: Any = float("inf")
            rule = MedianStoppingRule(**what, grace_period=grace, min_samples_required=others, min_time_slice=endless)
    return _EpochScheduler(rule)


def _beyond(longest: int, grace: int) -> int:
    """Return a number of epochs that no training reaches: Ray stops a trial that does, before it is evaluated."""
    return max(longest, grace) + 1


class _EpochScheduler(FIFOScheduler):
    """Passes epochs, and only epochs, to another scheduler."""

    def __init__(self, rule: TrialScheduler) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Ray's gap
        self._rule = rule
        self._last: dict[str, dict[str, Any]] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        # Hyperband draws a bracket: a trial keeps its own at every launch.
        with _seeded(trial.config["fingerprint"]):
            self._rule.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if result.get("kind") != "epoch":
            return str(TrialScheduler.CONTINUE)
        self._last[trial.trial_id] = result
        if result.get(REPEATED):
            self._note(tune_controller, trial, result)
            return str(TrialScheduler.CONTINUE)
        decision = str(self._rule.on_trial_result(tune_controller, trial, result))
        return str(TrialScheduler.CONTINUE) if result[EPOCH] >= result["epochs"] else decision

    def _note(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Let the rule remember an epoch whatever it decides."""
        if isinstance(self._rule, MedianStoppingRule):
            # It refuses further epochs of a trial that it has stopped; the end of one it only writes down.
            self._rule.on_trial_complete(tune_controller, trial, result)
        else:
            self._rule.on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        last = self._last.pop(trial.trial_id, None)
        if last is not None:
            self._rule.on_trial_complete(tune_controller, trial, last)


@contextmanager
def _seeded(text: str) -> Iterator[None]:
    """Let numpy's global generator, from which Ray draws, follow from a text within a block."""
    before = np.random.get_state()  # noqa: NPY002 # Ray's choice
    np.random.seed(list(text.encode()))  # noqa: NPY002 # as above
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002 # as above
