"""What training minimises, in parts.

Source: docs/method.md, Objective. For the hierarchical VAE the modified evidence lower bound,

    loss = mean over structure channels of the reconstruction loss + KL weight · KL

with the reconstruction loss -log p(target | latents) as mean over pixels: of a Gaussian, or of a noise
model, whose signal is the predicted mean. The deterministic twin has
no KL; U-Net and BraveNet minimise the squared error. The KL of a level, summed over its latent, is

- ``per_level`` (µSplit): divided by the number of values of that latent, then averaged over levels;
- ``image`` (denoiSplit): summed over levels, then divided by the number of pixels of the patch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from usplit_core.config import ObjectiveConfig, RunConfig
from usplit_core.errors import ConfigError
from usplit_core.models.latent import Latent, analytical_kl, monte_carlo_kl
from usplit_core.models.likelihood import negative_log_likelihood
from usplit_core.models.network import Prediction
from usplit_core.models.noise_model import NoiseModel, log_likelihood


class Loss(NamedTuple):
    """The objective and its parts; averages over the batch.

    Attributes
    ----------
    loss
        What is minimised, ().
    reconstruction
        Of each structure channel, (C,): nats a pixel, or squared error.
    kl
        KL divergence as it enters the loss, before the KL weight, (); 0 where nothing is stochastic.
    kl_per_level
        Normalised KL of each level from the bottom, before free bits, (levels,). Levels add up to
        (``image``), or average to (``per_level``), `kl` where free bits are off.
    """

    loss: Tensor
    reconstruction: Tensor
    kl: Tensor
    kl_per_level: Tensor


def compute_loss(
    prediction: Prediction,
    target: Tensor,
    config: RunConfig,
    *,
    epoch: int = 0,
    noise_model: NoiseModel | None = None,
) -> Loss:
    """Score a prediction against its target.

    Parameters
    ----------
    prediction
        Of a network built from ``config.model``. Without its priors the loss is that without KL.
    target
        Structure channels, normalised, (B, C, Y, X).
    config
        Of the run.
    epoch
        Finished epochs, for KL annealing.
    noise_model
        In units of the target, on its device; where ``objective.likelihood`` asks for one.

    Raises
    ------
    ConfigError
        If the run asks for a noise model and none is given.
    """
    reconstruction = _reconstruction(prediction, target, config, noise_model)  # (C,)
    loss = reconstruction.mean()
    if prediction.auxiliary:
        losses = [(target - head).square().mean() for head in prediction.auxiliary]
        loss = (loss + torch.stack(losses).mean()) / 2
    kl, kl_per_level = _kl(prediction.latents, target, config.objective)
    if len(kl_per_level):
        loss = loss + kl_weight(config.objective, epoch) * kl
    return Loss(loss, reconstruction, kl, kl_per_level)


def kl_weight(objective: ObjectiveConfig, epoch: int) -> float:
    """Return the weight of the KL after `epoch` finished epochs; annealing raises it linearly from 0."""
    if objective.kl_annealing_epochs is None:
        return objective.kl_weight
    return objective.kl_weight * min(epoch / objective.kl_annealing_epochs, 1.0)


def _reconstruction(
    prediction: Prediction, target: Tensor, config: RunConfig, noise_model: NoiseModel | None
) -> Tensor:
    """Return the loss of each structure channel, (C,)."""
    if config.objective.likelihood == "noise_model":
        if noise_model is None:
            raise ConfigError("objective.likelihood = 'noise_model' needs a noise model: load that of noise_model_path")
        losses = -log_likelihood(noise_model, target, prediction.mean)
    elif config.model.architecture in ("unet", "bravenet"):
        losses = (target - prediction.mean).square()
    else:
        losses = negative_log_likelihood(target, prediction.mean, prediction.log_variance)
    return losses.mean(dim=(0, 2, 3))  # (C,)


def _kl(latents: tuple[Latent, ...], target: Tensor, objective: ObjectiveConfig) -> tuple[Tensor, Tensor]:
    """Return the KL, (), and that of each level, (levels,), normalised.

    Free bits: for each image and level the optimiser sees no less than ``free_bits``, so that levels
    below it are not pushed further; counted in nats a latent value (``per_level``) or nats a latent
    (``image``), as the two publications do.
    """
    levels = [latent for latent in latents if latent.prior is not None]
    if not levels:
        return target.new_zeros(()), target.new_zeros(0)
    estimate = analytical_kl if objective.kl_estimate == "analytical" else monte_carlo_kl
    if objective.kl_normalisation == "per_level":
        kl = torch.stack([estimate(latent) / latent.sample[0].numel() for latent in levels])  # (levels, B)
        return _at_least(kl, objective.free_bits).mean(), kl.mean(dim=1)
    kl = torch.stack([estimate(latent) for latent in levels])  # (levels, B)
    pixels = target.shape[-2] * target.shape[-1]
    return _at_least(kl, objective.free_bits).mean(dim=1).sum() / pixels, kl.mean(dim=1) / pixels


def _at_least(kl: Tensor, free_bits: float) -> Tensor:
    # A Monte-Carlo estimate may be below zero: without free bits it must not be clamped.
    return kl.clamp(min=free_bits) if free_bits else kl
