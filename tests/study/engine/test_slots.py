"""GPUs are shared in eighths, by the memory that a trial needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.engine.slots import gpu_part

GB = 1e9


@pytest.mark.parametrize(
    ("needed", "part"), [(0.1, 1 / 8), (10.0, 1 / 8), (10.1, 2 / 8), (39, 4 / 8), (60, 6 / 8), (61, 1), (200, 1)]
)
def test_a_part_is_the_next_eighth_and_whole_from_seven_on(needed: float, part: float) -> None:
    assert gpu_part(needed * GB, 80 * GB) == part


@given(needed=st.floats(1e6, 8e10), total=st.floats(4e9, 2e11))
def test_trials_that_share_a_gpu_fit_into_it(needed: float, total: float) -> None:
    part = gpu_part(needed, total)
    assert 1 / 8 <= part <= 1
    if part < 1:
        assert needed <= part * total * (1 + 1e-9)
