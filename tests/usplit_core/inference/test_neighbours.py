"""Tiles of one row are encoded together, and predicted as each alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.usplit_core.inference.fakes import structures, tiny_run
from usplit_core.config import RunConfig, TilingConfig
from usplit_core.data.mixing import fit_statistics
from usplit_core.data.sampling import PatchSource
from usplit_core.inference.tile_prediction import predict_frame, windows_of
from usplit_core.inference.tiling import FloatArray
from usplit_core.models import Network, build

SHAPE = (70, 150)
FRAMES = structures(2, *SHAPE)


def run(**settings: Any) -> RunConfig:
    model = {"architecture": "hae", "patch_px": 64, "depth": 2, "lc_depth": 2, "variant": "regular"}
    return tiny_run(**{f"model__{name}": value for name, value in {**model, **settings}.items()})


def network(config: RunConfig) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(config.model).eval()


def predict(config: RunConfig, tiling: TilingConfig, batch_size: int) -> FloatArray:
    image = FRAMES[:1].mean(axis=1)
    source = PatchSource.from_images(image, fit_statistics(FRAMES, config.data), config.data, lc_depth=2)
    windows = windows_of(source, 0, None if tiling.border == "shift" else tiling.border)
    return predict_frame(network(config), windows, SHAPE, tiling=tiling, batch_size=batch_size).mean


@pytest.mark.parametrize("variant", ["lean", "regular"])
@pytest.mark.parametrize(
    "tiling",
    [
        {"padding_px": 16},
        {"padding_px": 13},  # 38 px are kept: no level moves by as many pixels from tile to tile
        {"padding_px": 16, "border": "constant"},
        {"padding_px": 16, "border": "shift"},
        {"padding_px": 12, "mode": "sliding", "stride_px": 10},
        {"padding_px": 8, "mode": "outer"},
    ],
    ids=str,
)
def test_tiles_of_a_batch_are_predicted_as_each_alone(variant: str, tiling: dict[str, Any]) -> None:
    config, how = run(variant=variant), TilingConfig.model_validate(tiling)
    np.testing.assert_allclose(predict(config, how, 7), predict(config, how, 1), rtol=0, atol=1e-5)


def test_tiles_of_a_row_share_work() -> None:
    operations = []
    for batch_size in (1, 5):
        with FlopCounterMode(display=False) as counter:
            predict(run(), TilingConfig(padding_px=16), batch_size)
        operations.append(counter.get_total_flops())
    assert operations[1] < 0.93 * operations[0]
