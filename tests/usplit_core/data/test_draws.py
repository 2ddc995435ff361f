"""Random patches: where they lie, and that several steps at once are those of each step alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usplit_core.config import DataConfig
from usplit_core.data.draws import draw_patches


def config(**values: Any) -> DataConfig:
    return DataConfig(path="none.tif", **values)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**63),
    step=st.integers(0, 2**40),
    batch_size=st.integers(1, 9),
    limits=st.tuples(*[st.integers(1, 5000)] * 3),
)
def test_patches_of_a_step_are_those_of_a_generator_whose_key_is_seed_and_step(
    seed: int, step: int, batch_size: int, limits: tuple[int, int, int]
) -> None:
    data = config(augment=True, mixing_weight_range=(0.2, 0.8))
    draw = draw_patches(seed, [step], batch_size=batch_size, limits=limits, data=data)
    fresh = np.random.Generator(np.random.Philox(key=np.array([seed, step], np.uint64)))
    for found, limit in zip((draw.frame, draw.top, draw.left), limits, strict=True):
        np.testing.assert_array_equal(found, fresh.integers(limit, size=batch_size))
    np.testing.assert_array_equal(draw.share, fresh.uniform(0.2, 0.8, size=batch_size))
    np.testing.assert_array_equal(draw.turn, fresh.integers(8, size=batch_size))


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("weight_range", [None, (0.2, 0.8)])
def test_steps_drawn_together_are_those_drawn_alone(augment: bool, weight_range: tuple[float, float] | None) -> None:
    data = config(augment=augment, mixing_weight_range=weight_range)
    sizes: dict[str, Any] = {"batch_size": 3, "limits": (4, 90, 70), "data": data}
    together = draw_patches(7, range(5, 9), **sizes)
    alone = [draw_patches(7, [step], **sizes) for step in range(5, 9)]
    for name, found in together._asdict().items():
        parts = [getattr(draw, name) for draw in alone]
        if found is None:
            assert parts == [None] * 4
        else:
            np.testing.assert_array_equal(found, np.concatenate(parts))
    assert (together.share is None, together.turn is None) == (weight_range is None, not augment)
