"""Noise models: what a pixel is likely to show, given its true signal.

Source: docs/method.md, Objective; "juglab/denoiSplit denoisplit/nets/noise_model.py". For each structure channel
a mixture of K Gaussians, whose weights, offsets and variances are polynomials of the signal with D coefficients.
The mixture has the signal as its mean. Everything is measured in the range of the signals that it was fitted to,
so it holds in any unit: `in_units` changes the range and nothing else.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from usplit_core.config import RunConfig
from usplit_core.errors import CheckpointError, DataError, OutputError
from usplit_core.whole_files import write_whole

#: In signal ranges; keeps a component from shrinking onto one pixel.
MIN_DEVIATION = 1e-3


class NoiseModel(NamedTuple):
    """p(observation | signal) of each structure channel.

    Attributes
    ----------
    weights, offsets, variances
        Polynomial coefficients, lowest power first, (C, K, D): logits of the mixture; distance of a component from
        the signal; logarithm of the coefficients of its variance.
    low, high
        Range of the signals, (C,), in the unit of what the model is applied to.
    """

    weights: Tensor
    offsets: Tensor
    variances: Tensor
    low: Tensor
    high: Tensor


def log_likelihood(model: NoiseModel, observation: Tensor, signal: Tensor) -> Tensor:
    """Return log p(observation | signal) of each pixel, in nats.

    Parameters
    ----------
    model
        In the unit of the images.
    observation, signal
        (…, C, Y, X).
    """
    extent = (model.high - model.low)[:, None, None]  # (C, 1, 1)
    log_weights, offsets, variances = _mixture(model, signal)
    distance = (observation - signal) / extent
    errors = (distance.unsqueeze(-1) - offsets).square() / variances
    components = log_weights - 0.5 * (errors + (2 * torch.pi * variances).log())
    return components.logsumexp(dim=-1) - extent.log()


def standard_deviation(model: NoiseModel, signal: Tensor) -> Tensor:
    """Return the standard deviation of the noise at each signal, (…, C, Y, X), in the unit of the model."""
    log_weights, offsets, variances = _mixture(model, signal)
    variance = (log_weights.exp() * (variances + offsets.square())).sum(dim=-1)  # (…, C, Y, X)
    return variance.sqrt() * (model.high - model.low)[:, None, None]


def _mixture(model: NoiseModel, signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return logarithm of the weights, offsets and variances of the components, in signal ranges, (…, C, Y, X, K)."""
    low, high = model.low[:, None, None], model.high[:, None, None]  # (C, 1, 1)
    powers = ((signal - low) / (high - low)).clamp(0, 1).unsqueeze(-1) ** torch.arange(
        model.weights.shape[-1], device=signal.device
    )  # (…, C, Y, X, D)
    log_weights = _polynomial(model.weights, powers).log_softmax(dim=-1)  # (…, C, Y, X, K)
    offsets = _polynomial(model.offsets, powers)
    offsets = offsets - (log_weights.exp() * offsets).sum(dim=-1, keepdim=True)
    return log_weights, offsets, _polynomial(model.variances.exp(), powers) + MIN_DEVIATION**2


def _polynomial(coefficients: Tensor, powers: Tensor) -> Tensor:
    return torch.einsum("...cyxd,ckd->...cyxk", powers, coefficients)


def in_units(model: NoiseModel, mean: Tensor, deviation: Tensor) -> NoiseModel:
    """Return the model for images from which `mean` (C,) was subtracted and that were divided by `deviation` (C,)."""
    mean, deviation = mean.to(model.low), deviation.to(model.low)
    return model._replace(low=(model.low - mean) / deviation, high=(model.high - mean) / deviation)


def fit_noise_model(
    signal: NDArray[Any],
    observation: NDArray[Any],
    *,
    components: int = 3,
    coefficients: int = 3,
    steps: int = 1000,
    seed: int = 0,
) -> NoiseModel:
    """Fit a noise model to pairs of signal and observation by maximum likelihood.

    Parameters
    ----------
    signal
        True, or denoised, images, (N, C, Y, X), in intensities.
    observation
        Noisy images of the same, (N, C, Y, X).
    components, coefficients
        K and D.
    steps
        Of the optimiser, on 4,096 random pixels of each structure channel.
    seed
        Of the choice of pixels.

    Raises
    ------
    DataError
        If the images differ in shape, are not finite, or a structure channel has the same signal everywhere.
    """
    signals, observations = paired_pixels(signal, observation)  # (C, pixels)
    low, high = signals.amin(dim=1), signals.amax(dim=1)
    if not bool((high > low).all()):
        raise DataError("a structure channel has the same signal in every pixel: give images that show something")
    model = _initial(signals, observations, low, high, (components, coefficients))
    parameters = [model.weights, model.offsets, model.variances]
    optimiser = torch.optim.Adam([parameter.requires_grad_() for parameter in parameters], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(signals.shape[1], (4096,), generator=generator)
        batch = (values[:, chosen, None] for values in (observations, signals))  # (C, pixels, 1)
        optimiser.zero_grad()
        torch.autograd.backward(-log_likelihood(model, *batch).mean())
        optimiser.step()
        schedule.step()
    return NoiseModel(*(tensor.detach() for tensor in model))


def paired_pixels(signal: NDArray[Any], observation: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Return the pixels of two stacks (N, C, Y, X), each as (C, pixels).

    Raises
    ------
    DataError
        If the stacks differ in shape or are not finite.
    """
    if signal.shape != observation.shape or signal.ndim != 4:
        raise DataError(
            f"signal {signal.shape} and observation {observation.shape} do not fit: "
            "give two arrays (N, C, Y, X) of one shape"
        )
    both = [np.moveaxis(image, 1, 0).reshape(image.shape[1], -1).astype(np.float32) for image in (signal, observation)]
    if not all(np.isfinite(image).all() for image in both):
        raise DataError("signal or observation has pixels that are no finite numbers: leave those frames out")
    return torch.from_numpy(both[0]), torch.from_numpy(both[1])


def _initial(signals: Tensor, observations: Tensor, low: Tensor, high: Tensor, sizes: tuple[int, int]) -> NoiseModel:
    """Return components side by side, as wide as the noise is on average."""
    components, coefficients = sizes
    deviation = (observations - signals).std(dim=1) / (high - low) + MIN_DEVIATION  # (C,)
    zeros = torch.zeros(len(low), components, coefficients)
    offsets, variances = zeros.clone(), zeros.clone()
    offsets[..., 0] = deviation[:, None] * torch.linspace(-0.5, 0.5, components)
    variances += 2 * deviation.log()[:, None, None] - float(np.log(coefficients))
    return NoiseModel(zeros, offsets, variances, low, high)


def save_noise_model(path: Path, model: NoiseModel) -> None:
    """Write a noise model, for images in intensities, to a safetensors file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        write_whole(path, serialise({name: tensor.contiguous() for name, tensor in model._asdict().items()}))
    except OSError as error:
        raise OutputError(
            f"cannot write the noise model {path} ({error}): choose a folder that may be written to and has room"
        ) from None


def load_noise_model(path: Path) -> NoiseModel:
    """Read a noise model that `save_noise_model` wrote.

    Raises
    ------
    CheckpointError
        If there is no such file or it holds something else.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot read the noise model {path} ({error}): correct the path, or fit one with `usplit noise-model`"
        ) from None
    if set(tensors) != set(NoiseModel._fields):
        raise CheckpointError(
            f"{path} is no noise model: it holds {', '.join(sorted(tensors)[:5])}; fit one with `usplit noise-model`"
        )
    model = NoiseModel(**tensors)
    if not _is_usable(model):
        raise CheckpointError(f"{path} is a damaged noise model: fit it again with `usplit noise-model`")
    return model


def _is_usable(model: NoiseModel) -> bool:
    shapes = {model.weights.shape, model.offsets.shape, model.variances.shape}
    fits = shapes == {model.weights.shape} and model.low.shape == model.high.shape == model.weights.shape[:1]
    return fits and all(bool(tensor.isfinite().all()) for tensor in model) and bool((model.high > model.low).all())


def noise_model_of(run: RunConfig) -> NoiseModel | None:
    """Return the noise model that a run asks for, in intensities; None where it asks for none.

    Raises
    ------
    CheckpointError
        If its file cannot be used, or is of another number of structure channels.
    """
    if run.objective.noise_model_path is None:
        return None
    path = Path(run.objective.noise_model_path).expanduser()
    model = load_noise_model(path)
    channels, wanted = len(model.low), run.model.structure_channels
    if channels != wanted:
        raise CheckpointError(
            f"objective.noise_model_path = {str(path)!r} is of {channels} structure channels, and data.channels names "
            f"{wanted}: fit it to images of the same channels, in the same order"
        )
    return model
