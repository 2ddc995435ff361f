"""What varies: levels and ranges."""

import copy
import json
from typing import Any

import pytest

from study.words.factors import Choice, Factor, Grid, IntRange, LogUniform, Uniform
from usplit_core.errors import ConfigError

FACTORS: list[Factor] = [
    Grid(0, 2, 4),
    Choice("a", None, (1, 2)),
    Uniform(-1, 3),
    LogUniform(1e-4, 10),
    IntRange(2, 10, step=4),
]


@pytest.mark.parametrize("factor", FACTORS, ids=repr)
def test_every_position_has_a_value_of_the_factor(factor: Factor) -> None:
    values = [factor.at(index / 1000) for index in range(1000)]
    assert all(value in factor for value in values)
    assert factor.at(0.0) == values[0]


def test_levels_and_whole_numbers_are_equally_likely() -> None:
    positions = [(index + 0.5) / 300 for index in range(300)]
    for factor in (Choice("a", "b", "c"), IntRange(2, 6, step=2)):
        values = [factor.at(position) for position in positions]
        assert {values.count(value) for value in values} == {100}


def test_orders_of_magnitude_are_equally_likely() -> None:
    assert LogUniform(1e-4, 1e-2).at(0.5) == pytest.approx(1e-3)
    assert Uniform(0, 4).at(0.25) == 1


def test_an_int_range_has_both_ends() -> None:
    factor = IntRange(1, 4)
    assert [factor.at(position) for position in (0, 0.3, 0.6, 0.999)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("factor", "bound", "left"),
    [
        (Grid(0, 2, 4), 3, Grid(0, 2)),
        (Choice(0, 2, 4), 2, Choice(0, 2)),
        (Choice(1, 2), 0, None),
        (IntRange(2, 10, step=4), 9, IntRange(2, 6, step=4)),
        (IntRange(2, 10), 2, Choice(2)),
        (IntRange(2, 10), 1, None),
        (Uniform(0, 4), 1.5, Uniform(0, 1.5)),
        (Uniform(1, 4), 9, Uniform(1, 4)),
        (LogUniform(1, 4), 1, Choice(1)),
        (LogUniform(1, 4), 0.5, None),
    ],
)
def test_a_bound_narrows_a_factor(factor: Factor, bound: float, left: Factor | None) -> None:
    assert factor.up_to(bound) == left


def test_factors_are_equal_by_value_and_frozen() -> None:
    assert Uniform(0, 1) == Uniform(0, 1)
    assert IntRange(0, 4) != IntRange(0, 4, step=2)
    with pytest.raises(AttributeError):
        Uniform(0, 1).low = 2  # type: ignore[misc]  # it is what must fail


@pytest.mark.parametrize("factor", FACTORS, ids=repr)
def test_a_factor_is_described_as_json(factor: Factor) -> None:
    assert json.loads(json.dumps(factor.describe()))["kind"] == type(factor).__name__


@pytest.mark.parametrize(
    ("factor", "arguments", "message"),
    [
        (Grid, (), "at least one level, such as Grid"),
        (Choice, (), "at least one level, such as Choice"),
        (Grid, (2, 4, 2), "2 twice"),
        (Choice, (None, "null"), "twice"),
        (Uniform, (1, 1), "low must be below high; for a single value set it in base"),
        (Uniform, (2, 1), "below"),
        (Uniform, (0, float("inf")), "finite"),
        (Uniform, ("a", "b"), "use Choice"),
        (LogUniform, (0, 1), "raise low, or use Uniform"),
        (IntRange, (0, 2.5), "use Uniform or LogUniform"),
        (IntRange, (0, 5, 2), "set high to 4"),
        (IntRange, (0, 5, 0), "at least 1"),
    ],
)
def test_a_factor_that_cannot_be_is_refused(factor: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        factor(*arguments)


@pytest.mark.parametrize("factor", [Grid(0, 2), Choice("lean", "regular")])
def test_a_copy_of_a_factor_has_its_levels(factor: Grid | Choice) -> None:
    assert copy.deepcopy(factor) == factor
    assert len(copy.copy(factor)) == 2
