"""Where memory does not suffice for a batch of tiles."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.usplit_core.inference.fakes import Repeater, repeat, structures
from usplit_core.config import TilingConfig
from usplit_core.errors import ConfigError
from usplit_core.inference.tiling import FloatArray


@pytest.fixture
def image() -> FloatArray:
    return np.asarray(structures()[0].mean(axis=0), dtype=np.float32)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no"), RuntimeError("DefaultCPUAllocator: can't allocate")])
def test_batches_are_halved_where_memory_does_not_suffice(image: FloatArray, error: Exception) -> None:
    sizes = []

    class Hungry(Repeater):
        def encode(self, input: torch.Tensor, **how: Any) -> tuple[torch.Tensor, ...]:
            sizes.append(len(input))
            if len(input) > 3:
                raise error
            return super().encode(input, **how)

    prediction = repeat(image, TilingConfig(padding_px=4), network=Hungry(), batch_size=12)

    np.testing.assert_allclose(prediction[0], image, atol=1e-3)
    assert sizes[:3] == [12, 6, 3]
    assert all(size <= 3 for size in sizes[2:])
    assert sum(sizes[2:]) == 35  # no tile is predicted twice


def test_a_single_tile_that_does_not_fit_is_one_message(image: FloatArray) -> None:
    class Huge(Repeater):
        def encode(self, input: torch.Tensor, **how: Any) -> tuple[torch.Tensor, ...]:
            raise MemoryError

    with pytest.raises(ConfigError, match="not enough memory to predict a single window of 16 px"):
        repeat(image, TilingConfig(padding_px=4), network=Huge())


def test_an_error_that_is_not_of_memory_stays_as_it_is(image: FloatArray) -> None:
    class Broken(Repeater):
        def encode(self, input: torch.Tensor, **how: Any) -> tuple[torch.Tensor, ...]:
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        repeat(image, TilingConfig(padding_px=4), network=Broken())
