"""A study stops when its budget is used, and says which limit it was."""

import pytest

from study.words.budget import Budget, Spent, exhausted
from usplit_core.errors import ConfigError


def test_without_limits_nothing_is_ever_used_up() -> None:
    assert exhausted(Budget(), Spent(1e6, 1e6, 10**12, 10**6)) == ""


@pytest.mark.parametrize(
    ("budget", "name"),
    [
        (Budget(wall_hours=2), "wall_hours"),
        (Budget(device_hours=3), "device_hours"),
        (Budget(steps=100), "steps"),
        (Budget(trainings=4), "trainings"),
    ],
)
def test_the_limit_that_is_reached_is_named(budget: Budget, name: str) -> None:
    below = Spent(1.9, 2.9, 99, 3)
    assert exhausted(budget, below) == ""
    assert f"budget.{name}" in exhausted(budget, Spent(2.0, 3.0, 100, 4))


@pytest.mark.parametrize("limits", [{"steps": 0}, {"wall_hours": -1.0}, {"device_hours": float("nan")}])
def test_a_budget_of_nothing_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        Budget(**limits)  # type: ignore[arg-type] # a user's mistake
