"""Ray's stopping rules see the epochs of a training and nothing else."""

from typing import Any, NamedTuple

import pytest

from study.engine.scheduling import scheduler_of
from study.words.stopping import ASHA, Hyperband, MedianStopping, Stopping
from usplit_core.errors import ConfigError


class Trial(NamedTuple):
    """All that Ray's rules ask of a trial."""

    trial_id: str


def epoch(number: int, value: float, epochs: int = 9) -> dict[str, Any]:
    return {"kind": "epoch", "epoch": number, "epochs": epochs, "monitor": value}


def decisions(rule: Stopping, values: list[float], epochs: int = 9) -> list[int]:
    """Run constant trials one after another; return after which epoch each ended."""
    scheduler: Any = scheduler_of(rule, epochs)
    ends = []
    for index, value in enumerate(values):
        trial = Trial(str(index))
        scheduler.on_trial_add(None, trial)
        end = epochs
        for number in range(1, epochs + 1):
            if scheduler.on_trial_result(None, trial, epoch(number, value, epochs)) == "STOP":
                end = number
                break
        scheduler.on_trial_complete(None, trial, {"kind": "finished"})
        ends.append(end)
    return ends


@pytest.mark.parametrize("rule", [ASHA(reduction=3), MedianStopping(min_trials=1), Hyperband(brackets=1)])
def test_a_trial_far_behind_is_stopped_and_the_best_never_is(rule: Stopping) -> None:
    ends = decisions(rule, [5.0, 6.0, 7.0, 1.0])
    assert ends[:3] == [9, 9, 9]
    assert ends[3] < 9


@pytest.mark.parametrize("rule", [ASHA(grace_epochs=4), MedianStopping(grace_epochs=4, min_trials=1)])
def test_nothing_is_stopped_within_the_grace(rule: Stopping) -> None:
    assert decisions(rule, [5.0, 6.0, 1.0])[-1] >= 4


@pytest.mark.parametrize("rule", [ASHA(reduction=3), MedianStopping(min_trials=1), Hyperband()])
def test_the_last_epoch_is_never_stopped_since_the_evaluation_follows(rule: Stopping) -> None:
    scheduler: Any = scheduler_of(rule, 1)
    for index, value in enumerate([9.0, 8.0, 7.0, 0.0]):
        trial = Trial(str(index))
        scheduler.on_trial_add(None, trial)
        assert scheduler.on_trial_result(None, trial, epoch(1, value, epochs=1)) == "CONTINUE"
        scheduler.on_trial_complete(None, trial, {"kind": "finished"})


@pytest.mark.parametrize("rule", [ASHA(), MedianStopping(min_trials=1), Hyperband()])
def test_messages_that_are_no_epochs_pass(rule: Stopping) -> None:
    scheduler: Any = scheduler_of(rule, 9)
    trial = Trial("a")
    scheduler.on_trial_add(None, trial)
    for kind in ("started", "evaluation", "finished", "failed"):
        assert scheduler.on_trial_result(None, trial, {"kind": kind}) == "CONTINUE"
    scheduler.on_trial_complete(None, trial, {"kind": "failed"})


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (ASHA, {"reduction": 1}),
        (ASHA, {"grace_epochs": 0}),
        (ASHA, {"grace_epochs": float("nan")}),
        (Hyperband, {"brackets": 0}),
        (MedianStopping, {"min_trials": 0}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="stopping"):
        rule(**values)
