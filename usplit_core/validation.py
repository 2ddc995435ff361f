"""Scores of the network on the validation part: what decides learning rate, early stop and best weights.

The PSNR is the authors' (juglab/uSplit usplit/metrics/running_psnr.py): one mean squared error and
one range of target values over the whole part, one posterior sample (docs/method.md, Training).
"""

import math

import torch
from torch import Tensor

from usplit_core.config import RunConfig
from usplit_core.data.sampling import PatchSource
from usplit_core.errors import DataError
from usplit_core.learner import autocast
from usplit_core.models import Network, Prediction
from usplit_core.models.noise_model import NoiseModel
from usplit_core.objective import compute_loss
from usplit_core.precision import full_float32


def target_ranges(source: PatchSource, run: RunConfig) -> tuple[float, ...]:
    """Return the range of values of each structure channel on the validation grid.

    Raises
    ------
    DataError
        If a channel is constant, so that its PSNR is not defined, or the frames are smaller than a patch.
    """
    extremes = [
        (batch.target.amin(dim=(0, 2, 3)), batch.target.amax(dim=(0, 2, 3)))  # (C,), (C,)
        for batch in source.grid_batches(patch_px=run.model.patch_px, batch_size=run.train.batch_size)
    ]
    lowest, highest = (torch.stack(side) for side in zip(*extremes, strict=True))
    ranges: list[float] = (highest.amax(dim=0) - lowest.amin(dim=0)).tolist()
    for channel, width in enumerate(ranges):
        if width <= 0:
            raise DataError(
                f"structure channel {channel} is constant in the validation part, so there is nothing to score: "
                "raise data.validation_fraction, or change data.split"
            )
    return tuple(ranges)


def validate(
    module: Network,
    source: PatchSource,
    run: RunConfig,
    ranges: tuple[float, ...],
    noise_model: NoiseModel | None = None,
) -> dict[str, float]:
    """Return the validation metrics of the network, which is left in evaluation mode.

    Posterior samples come from torch's global random numbers.

    Parameters
    ----------
    module
        The network.
    source
        Validation part.
    run
        Patch size, batch size, objective and precision.
    ranges
        From `target_ranges`.
    noise_model
        In units of the target, on the device; where the run asks for one.
    """
    module.eval()
    loss, patches = 0.0, 0
    squared_error = [0.0] * len(ranges)
    for batch in source.grid_batches(patch_px=run.model.patch_px, batch_size=run.train.batch_size):
        batch_loss, errors = _score(module, batch.input, batch.target, run, noise_model)
        size = len(batch.input)
        patches += size
        loss += size * batch_loss
        squared_error = [total + size * error for total, error in zip(squared_error, errors, strict=True)]
    psnr = [_psnr(total / patches, width) for total, width in zip(squared_error, ranges, strict=True)]
    return {
        "validation/loss": loss / patches,
        "validation/psnr_db": sum(psnr) / len(psnr),
        **{f"validation/psnr_db/{channel}": value for channel, value in enumerate(psnr)},
    }


@torch.no_grad()
def _score(
    module: Network, image: Tensor, target: Tensor, run: RunConfig, noise_model: NoiseModel | None
) -> tuple[float, list[float]]:
    """Return the loss without KL divergence, and the mean squared error of each channel."""
    with full_float32(image.device), autocast(run, image.device):
        prediction: Prediction = module(image, with_kl=False)
    loss = compute_loss(prediction, target, run, noise_model=noise_model)
    errors = (prediction.mean.float() - target).square().mean(dim=(0, 2, 3))  # (C,)
    values: list[float] = torch.cat([loss.loss.float().reshape(1), errors]).tolist()
    return values[0], values[1:]


def _psnr(mean_squared_error: float, value_range: float) -> float:
    if math.isnan(mean_squared_error):
        return math.nan
    # A perfect prediction has no finite PSNR, and records hold finite numbers only.
    return 20 * math.log10(value_range) - 10 * math.log10(max(mean_squared_error, 1e-30))
