"""Small models and images for the tests of prediction and evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.checkpoint import SavedModel, save_model
from usplit_core.config import RunConfig, TilingConfig
from usplit_core.data.mixing import denormalise_target, fit_statistics
from usplit_core.data.sampling import PatchSource
from usplit_core.inference.tile_prediction import fill_border, predict_frame, windows_of
from usplit_core.inference.tiling import FloatArray
from usplit_core.models import Network, Prediction, build
from usplit_core.models.layers import without_margin
from usplit_core.settings import resolve

TINY = {
    "data.path": "images.tif",
    "model.variant": "lean",
    "model.lc_depth": 1,
    "model.depth": 2,
    "model.patch_px": 16,
    "model.filters": 4,
    "model.latent_channels": 3,
    "tiling.padding_px": 4,
}


def tiny_run(**changes: Any) -> RunConfig:
    """Return a run of a tiny network; settings are changed with ``model__filters=8``."""
    return resolve(TINY | {name.replace("__", "."): value for name, value in changes.items()})


UNCLIPPED = tiny_run(data__clip_quantile=1, data__target_normalisation="pooled")


def structures(frames: int = 3, height: int = 40, width: int = 52, seed: int = 0) -> NDArray[np.uint16]:
    """Return frames (N, C, Y, X) of two channels that differ in brightness."""
    random = np.random.default_rng(seed)
    smooth = random.gamma(2.0, 1.0, (frames, 2, height // 4 + 1, width // 4 + 1)).repeat(4, axis=2).repeat(4, axis=3)
    return np.asarray(smooth[..., :height, :width] * np.array([100, 400])[:, None, None] + 50).astype(np.uint16)


def write_model(path: Path, run: RunConfig, train: NDArray[Any], seed: int = 0) -> Path:
    """Write a model with random weights and return its path."""
    torch.manual_seed(seed)
    saved = SavedModel(
        run=run,
        statistics=fit_statistics(train, run.data),
        split={},
        metrics={},
        epoch=1,
        version="test",
        channel_names=("dim", "bright"),
    )
    save_model(path, build(run.model), saved)
    return path


class Repeater(Network):
    """Predicts its primary input in both structure channels; counts passes and adds `drift` to each sample."""

    def __init__(self, drift: float = 0.0) -> None:
        super().__init__(tiny_run().model)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.drift = drift
        self.encoded = 0
        self.decoded = 0

    def encode(self, input: Tensor, **how: Any) -> tuple[Tensor, ...]:
        """Return the input."""
        self.encoded += 1
        return (input,)

    def decode(
        self,
        maps: Sequence[Tensor],
        *,
        latents: Sequence[Tensor] | None = None,
        with_kl: bool = True,
        margin_px: int = 0,
    ) -> Prediction:
        """Return the primary input twice."""
        self.decoded += 1
        mean = maps[0][:, :1].expand(-1, 2, -1, -1) + self.drift * self.decoded
        return Prediction(without_margin(mean, margin_px))


def repeat(
    image: FloatArray,
    tiling: TilingConfig,
    *,
    network: Repeater | None = None,
    run: RunConfig = UNCLIPPED,
    batch_size: int | None = None,
) -> FloatArray:
    """Predict with a network that repeats its input, in intensities (C, Y, X)."""
    statistics = fit_statistics(structures(), run.data)
    source = PatchSource.from_images(image[None], statistics, run.data, lc_depth=run.model.lc_depth)
    prediction = predict_frame(
        Repeater() if network is None else network,
        windows_of(source, 0, fill_border(tiling, run.data.border)),
        (image.shape[0], image.shape[1]),
        tiling=tiling,
        batch_size=batch_size,
    ).mean
    return np.asarray(denormalise_target(prediction, statistics), dtype=np.float32)
