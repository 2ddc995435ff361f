"""From raw structure channels to normalised inputs and targets, and back (docs/method.md, Data).

Background is removed, bright outliers are clipped, channels are superimposed, and what results is
normalised. All numbers come from the training frames and travel with the model.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.config import DataConfig
from usplit_core.data.quantile import quantile_of
from usplit_core.errors import DataError

Share = TypeVar("Share", float, NDArray[np.float64])
Image = TypeVar("Image", NDArray[np.float32], Tensor)


class Statistics(NamedTuple):
    """What was learnt from the training frames about intensities; per structure channel where it is a tuple.

    `clip` is infinite where clipping is off. `weights` are the mixing weights as they are applied.
    """

    clip: tuple[float, ...]
    background_quantile: float
    weights: tuple[float, ...]
    input_mean: float
    input_std: float
    target_mean: tuple[float, ...]
    target_std: tuple[float, ...]


def fit_statistics(train: NDArray[Any], config: DataConfig) -> Statistics:
    """Return the statistics of the training frames.

    The pooled mean and deviation belong to an average of the channels; for other sums of weights
    they are scaled by that sum, so that the normalised input is the same. Frames are looked at one at a time,
    several times over: they need not fit into memory.

    Parameters
    ----------
    train
        Frames (N, C, Y, X), raw intensities.

    Raises
    ------
    DataError
        If a channel is constant, so that nothing can be learnt.
    """
    channels = _without_background(train, config.background_quantile)
    clip = _clip_values(channels, train.shape[1], config)
    weights = mixing_weights(config)
    # In one order in memory, so that sums are the same however a file stores its axes.
    mean, variance = _moments(np.minimum(frame, _column(clip), order="C") for frame in channels())
    _check_contrast(mean, variance, config)
    pooled_mean = float(mean.mean())
    pooled_std = math.sqrt(variance.mean() + mean.var())
    if config.input_normalisation == "superimposed":
        mixed = (superimpose(np.minimum(frame, _column(clip), order="C"), weights)[None] for frame in channels())
        mixed_mean, mixed_variance = _moments(mixed)
        input_mean, input_std = float(mixed_mean[0]), math.sqrt(mixed_variance[0])
    else:
        input_mean, input_std = pooled_mean * sum(weights), pooled_std * sum(weights)
    if config.target_normalisation == "pooled":
        target_mean, target_std = (pooled_mean,) * len(weights), (pooled_std,) * len(weights)
    else:
        target_mean, target_std = tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())
    return Statistics(clip, config.background_quantile, weights, input_mean, input_std, target_mean, target_std)


def mixing_weights(config: DataConfig) -> tuple[float, ...]:
    """Return the weight of each structure channel in the superimposed image; an average has weights of sum 1."""
    weights = config.mixing_weights or (1.0,) * len(config.channels)
    scale = sum(weights) if config.superposition == "average" else 1.0
    return tuple(weight / scale for weight in weights)


def remove_background(pixels: NDArray[Any], quantile: float) -> NDArray[Any]:
    """Subtract a quantile of each frame and channel, cut to an integer for integer pixels; 0 = off.

    Parameters
    ----------
    pixels
        Frames (..., Y, X), returned as they are where `quantile` is 0.
    """
    if quantile == 0:
        return pixels
    return subtract_background(pixels, np.quantile(pixels, quantile, axis=(-2, -1), keepdims=True))


def _without_background(pixels: NDArray[Any], quantile: float) -> Callable[[], Iterator[NDArray[Any]]]:
    """Return what gives the frames without background, one at a time; the background is looked for once."""
    if quantile == 0:
        return lambda: iter(pixels)
    background = [np.quantile(frame, quantile, axis=(-2, -1), keepdims=True) for frame in pixels]
    return lambda: map(subtract_background, pixels, background)


def subtract_background(pixels: NDArray[Any], background: NDArray[Any]) -> NDArray[Any]:
    """Subtract background values that fit the shape of the pixels, cut to integers for integer pixels."""
    if np.issubdtype(pixels.dtype, np.integer):
        signed = np.int32 if pixels.dtype.itemsize <= 2 else np.int64
        integers: NDArray[Any] = pixels.astype(signed) - background.astype(signed)
        return integers
    reals: NDArray[Any] = pixels - background.astype(pixels.dtype)
    return reals


def superimposed_statistics(statistics: Statistics, data: DataConfig) -> Statistics:
    """Return the statistics for images that are superimposed already: one channel, as bright as an input could be."""
    weights = [statistics.weights]
    if data.mixing_weight_range is not None:
        weights = [drawn_weights(share, statistics) for share in data.mixing_weight_range]
    brightest = max(
        sum(weight * clip for weight, clip in zip(one, statistics.clip, strict=True) if weight) for one in weights
    )
    return statistics._replace(clip=(brightest,), weights=(1.0,))


def drawn_weights(share: Share, statistics: Statistics) -> tuple[Share, Share]:
    """Return the mixing weights of both structure channels where the first has this share of them."""
    total = sum(statistics.weights)
    return share * total, (1 - share) * total


def prepare(pixels: NDArray[Any], statistics: Statistics) -> NDArray[np.float32]:
    """Return frames (N, C, Y, X) without background and clipped: the intensities of targets."""
    channels = remove_background(pixels, statistics.background_quantile)
    clipped: NDArray[np.float32] = np.minimum(channels.astype(np.float32), _column(statistics.clip))
    return clipped


def superimpose(prepared: NDArray[Any], weights: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the superimposed images (..., Y, X) of prepared structure channels (..., C, Y, X)."""
    mixed: NDArray[np.float32] = np.sum(prepared * _column(weights), axis=-3, dtype=np.float32)  # (..., Y, X)
    return mixed


def normalise_input(image: Image, statistics: Statistics) -> Image:
    """Return a superimposed image, of any shape, in the units that a network sees."""
    return (image - statistics.input_mean) / statistics.input_std


def normalise_target(channels: Image, statistics: Statistics) -> Image:
    """Return prepared structure channels (..., C, Y, X) in the units that a network predicts."""
    return (channels - _like(statistics.target_mean, channels)) / _like(statistics.target_std, channels)


def denormalise_target(channels: Image, statistics: Statistics) -> Image:
    """Return predicted structure channels (..., C, Y, X) as intensities: the inverse of `normalise_target`."""
    return channels * _like(statistics.target_std, channels) + _like(statistics.target_mean, channels)


def statistics_to_json(statistics: Statistics) -> dict[str, Any]:
    """Return the statistics as JSON-able values; a clip value that is off becomes None."""
    clip = [value if math.isfinite(value) else None for value in statistics.clip]
    return {**statistics._asdict(), "clip": clip}


def statistics_from_json(values: dict[str, Any]) -> Statistics:
    """Return the statistics that `statistics_to_json` wrote."""
    tuples = {name: tuple(values[name]) for name in ("weights", "target_mean", "target_std")}
    clip = tuple(math.inf if value is None else value for value in values["clip"])
    return Statistics(**{**values, **tuples, "clip": clip})


def _clip_values(channels: Callable[[], Iterator[NDArray[Any]]], count: int, config: DataConfig) -> tuple[float, ...]:
    if config.clip_quantile == 1:
        return (math.inf,) * count
    if config.clip_per_channel:
        single = (lambda index=index: (frame[index] for frame in channels()) for index in range(count))
        return tuple(quantile_of(pixels, config.clip_quantile) for pixels in single)
    return (quantile_of(channels, config.clip_quantile),) * count


def _moments(frames: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance (C,) over frames (C, Y, X) of one size, a frame at a time and in double precision."""
    pairs = [
        (frame.mean(axis=(-2, -1), dtype=np.float64), frame.var(axis=(-2, -1), dtype=np.float64)) for frame in frames
    ]
    means, variances = np.array(pairs).swapaxes(0, 1)  # (N, C) each
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)


def _check_contrast(mean: NDArray[np.float64], variance: NDArray[np.float64], config: DataConfig) -> None:
    # Rounding leaves a constant channel with a variance just above 0.
    for name, constant in zip(config.channels, variance <= 1e-12 * mean**2, strict=True):
        if constant:
            raise DataError(
                f"structure channel {name!r} is constant in all training frames, so there is nothing to learn: "
                "choose another one with data.channels, or raise data.clip_quantile"
            )


def _column(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)[:, None, None]  # (C, 1, 1)


def _like(values: tuple[float, ...], image: Image) -> Image:
    """Return one value a channel as an array (C, 1, 1) of the kind, type and place of `image`."""
    if isinstance(image, Tensor):
        return torch.tensor(values, dtype=image.dtype, device=image.device)[:, None, None]
    return np.asarray(values, image.dtype)[:, None, None]
