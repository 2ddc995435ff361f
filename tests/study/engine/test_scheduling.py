"""Ray's stopping rules see the epochs of a training and nothing else."""

from typing import Any, NamedTuple

import pytest

from study.engine.scheduling import scheduler_of
from study.words.stopping import ASHA, Hyperband, MedianStopping, Stopping
from usplit_core.errors import ConfigError


class Trial(NamedTuple):
    """All that Ray's rules ask of a trial."""

    trial_id: str

    @property
    def config(self) -> dict[str, str]:
        return {"fingerprint": f"fingerprint of {self.trial_id}"}


def epoch(number: int, value: float, epochs: int = 9, **more: bool) -> dict[str, Any]:
    return {"kind": "epoch", "epoch": number, "epochs": epochs, "monitor": value, **more}


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


def repeat(scheduler: Any, trial: Trial, value: float, upto: int) -> int:
    """Show a trial's epochs of an earlier launch; return after which of them it ended."""
    scheduler.on_trial_add(None, trial)
    for number in range(1, upto + 1):
        if scheduler.on_trial_result(None, trial, epoch(number, value, EPOCHS, repeated=True)) == "STOP":
            return number
    return upto


def train(scheduler: Any, trial: Trial, value: float, after: int = 0) -> int:
    """Train a trial from an epoch on; return after which one it ended."""
    for number in range(after + 1, EPOCHS + 1):
        if scheduler.on_trial_result(None, trial, epoch(number, value, EPOCHS)) == "STOP":
            return number
    return EPOCHS


#: Enough epochs for ASHA's rungs at 1, 3, 9 and 27.
EPOCHS = 28
RULES = [ASHA(), MedianStopping(min_trials=1), Hyperband(brackets=1)]


@pytest.mark.parametrize("rule", RULES)
def test_a_trial_is_not_stopped_at_an_epoch_that_it_repeats(rule: Stopping) -> None:
    """In another order than that of the first launch, the rule would stop what it let go on."""
    scheduler: Any = scheduler_of(rule, EPOCHS)
    for index, value in enumerate([5.0, 4.0, 3.0, 1.0]):
        trial = Trial(str(index))
        assert repeat(scheduler, trial, value, EPOCHS - 1) == EPOCHS - 1
        scheduler.on_trial_complete(None, trial, {"kind": "replayed"})


@pytest.mark.parametrize("rule", RULES)
def test_what_was_repeated_decides_about_what_is_new(rule: Stopping) -> None:
    scheduler: Any = scheduler_of(rule, EPOCHS)
    for index, value in enumerate([6.0, 5.0, 4.0]):
        repeat(scheduler, Trial(str(index)), value, EPOCHS)
    worse, resumed = Trial("worse"), Trial("resumed")
    scheduler.on_trial_add(None, worse)
    assert train(scheduler, worse, 1.0) == 1
    repeat(scheduler, resumed, 1.0, 20)
    assert 20 < train(scheduler, resumed, 1.0, after=20) < EPOCHS


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0)])
def test_a_relaunched_rule_decides_as_if_it_had_never_ended(order: tuple[int, ...]) -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    unbroken: Any = scheduler_of(ASHA(), EPOCHS)
    relaunched: Any = scheduler_of(ASHA(), EPOCHS)
    ends = {}
    for index, value in enumerate(values):
        unbroken.on_trial_add(None, Trial(str(index)))
        ends[index] = train(unbroken, Trial(str(index)), value)
    for index in order:
        repeat(relaunched, Trial(str(index)), values[index], ends[index])
    for scheduler in (unbroken, relaunched):
        scheduler.on_trial_add(None, Trial("new"))
    assert train(relaunched, Trial("new"), 4.5) == train(unbroken, Trial("new"), 4.5)


def test_a_trial_is_in_the_same_bracket_of_hyperband_at_every_launch() -> None:
    def ends() -> list[int]:
        scheduler: Any = scheduler_of(Hyperband(), EPOCHS)
        for index in range(20):
            repeat(scheduler, Trial(str(index)), 5.0, EPOCHS)
        new = [Trial(f"new {index}") for index in range(20)]
        for trial in new:
            scheduler.on_trial_add(None, trial)
        return [train(scheduler, trial, 1.0) for trial in new]

    assert ends() == ends()
    assert len(set(ends())) > 1


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
