import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.usplit_core.trainings import tiny_run
from usplit_core.data.sampling import Batch, PatchSource
from usplit_core.errors import DataError
from usplit_core.models import Network, Prediction
from usplit_core.validation import target_ranges, validate

REFERENCE = Path(__file__).resolve().parents[1] / "reference"


class Lookup(Network):
    """Predicts what it is shown."""

    def encode(self, input: Tensor, **how: Any) -> tuple[Tensor, ...]:
        return (input,)

    def decode(self, maps: Any, *, latents: Any = None, with_kl: bool = True, margin_px: int = 0) -> Prediction:
        return Prediction(maps[0])


class Frames(PatchSource):
    """One frame a batch, channels as given."""

    def __init__(self, prediction: Tensor, target: Tensor) -> None:
        self._pairs = (prediction, target)

    def grid_batches(self, *, patch_px: int, batch_size: int) -> Iterator[Batch]:
        for prediction, target in zip(*self._pairs, strict=True):
            yield Batch(prediction[None], target[None])


def test_the_validation_psnr_is_that_of_the_authors() -> None:
    with np.load(REFERENCE / "metrics.npz") as arrays:
        target, prediction = (torch.from_numpy(arrays[name])[:, None] for name in ("target", "prediction"))
        expected = float(arrays["running_psnr"])
    # The second channel is predicted perfectly: a finite number, not infinity, is what a record can hold.
    source = Frames(torch.cat([prediction, target], dim=1), torch.cat([target, target], dim=1))
    metrics = validate(Lookup(tiny_run().model), source, tiny_run(), target_ranges(source, tiny_run()))
    assert metrics["validation/psnr_db/0"] == pytest.approx(expected, rel=1e-6)
    assert math.isfinite(metrics["validation/psnr_db/1"])
    assert metrics["validation/psnr_db"] == pytest.approx((expected + metrics["validation/psnr_db/1"]) / 2)


def test_a_constant_validation_channel_is_refused() -> None:
    source = Frames(torch.zeros(2, 2, 8, 8), torch.zeros(2, 2, 8, 8))
    with pytest.raises(DataError, match=r"structure channel 0 is constant in the validation part.*data\.split"):
        target_ranges(source, tiny_run())
