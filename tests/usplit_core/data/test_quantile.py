"""Quantiles by counting are those of numpy, to the last digit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from usplit_core.data.quantile import quantile_of

REALS = hnp.arrays(
    st.sampled_from([np.dtype(name) for name in ("f2", "f4", "f8", ">f4")]),
    st.integers(1, 50),
    elements={"allow_nan": False, "allow_infinity": False, "min_value": -1000, "max_value": 1000},
)
INTEGERS = hnp.arrays(
    st.sampled_from([np.dtype(name) for name in ("i4", "u4", "i8", ">i4")]),
    st.integers(1, 50),
    elements=st.integers(0, 2**31 - 1),
)
SHARES = st.floats(0, 1)


@given(pixels=REALS | INTEGERS, quantile=SHARES, pieces=st.integers(1, 4))
def test_the_quantile_is_that_of_all_pieces_together(pixels: NDArray[Any], quantile: float, pieces: int) -> None:
    parts = [part for part in np.array_split(pixels, pieces) if part.size]
    assert quantile_of(lambda: iter(parts), quantile) == float(np.quantile(pixels, quantile))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "u4", "i8", "f2", "f4", "f8", ">u2", ">f4"])
@pytest.mark.parametrize("quantile", [0.0, 0.3, 0.5, 0.995, 1.0])
def test_types_of_every_size_and_sign(dtype: str, quantile: float) -> None:
    generator = np.random.default_rng(0)
    low = 0 if "u" in dtype else -100
    pixels = (generator.integers(low, 120, (3, 40, 50)) * (1 if dtype[-1] in "12" else 70_001)).astype(dtype)
    assert quantile_of(lambda: iter(pixels), quantile) == pytest.approx(float(np.quantile(pixels, quantile)), rel=1e-15)
