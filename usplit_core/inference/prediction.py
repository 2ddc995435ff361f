"""Splits whole frames into their structure channels, tile by tile.

Adds to the axis letters: T tile. Source: docs/method.md, Tiling.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from usplit_core.checkpoint import SavedModel, load_model
from usplit_core.config import ModelConfig, TilingConfig, check_tiling
from usplit_core.data.mixing import denormalise_target
from usplit_core.data.sampling import PatchSource
from usplit_core.errors import CheckpointError, DataError
from usplit_core.inference.tiling import FloatArray, IntArray, TileBatch, TilePlan, batches, plan_tiles, stitch
from usplit_core.models import Network

#: Normalised inputs for windows of one frame: top (T,), left (T,), side in px -> (T, L, side, side).
Windows = Callable[[IntArray, IntArray, int], Tensor]
#: Told the tiles done and the tiles in all, after each batch.
Progress = Callable[[int, int], None]

#: Memory that a batch of tiles may take by default. Not a share of what is free: the batch decides which random
#: numbers a tile gets, and the same call must give the same result.
_BATCH_BYTES = {"cpu": 2**29, "cuda": 2**32}
#: Maps of `filters` channels at full tile size that are alive at once, about; measured on the largest network.
_LIVE_MAPS = 80


def windows_of(source: PatchSource, frame: int) -> Windows:
    """Return where the inputs for windows of a frame come from."""
    return lambda top, left, size_px: source.windows(np.full_like(top, frame), top, left, size_px)


def default_batch_size(model: ModelConfig, input_px: int, device: torch.device) -> int:
    """Return how many tiles of `input_px` to predict at once: within 0.5 GiB on the CPU and 4 GiB on a GPU, about."""
    bytes_per_tile = 4 * model.filters * input_px**2 * _LIVE_MAPS
    return max(1, _BATCH_BYTES.get(device.type, _BATCH_BYTES["cpu"]) // bytes_per_tile)


def posterior_samples(model: ModelConfig, tiling: TilingConfig) -> int:
    """Return the samples worth drawing: every sample of a deterministic network is the same."""
    return tiling.samples if model.architecture == "hvae" else 1


def iterate_tiles(
    module: Network, windows: Windows, plan: TilePlan, *, samples: int = 1, batch_size: int, seed: int = 0
) -> Iterator[TileBatch]:
    """Predict the tiles of a frame, batch by batch, in normalised units.

    Parameters
    ----------
    module
        A network; it is put into evaluation mode.
    windows
        Gives the inputs for window positions.
    plan
        The tiles.
    samples
        Posterior samples to average.
    batch_size
        Most tiles at once.
    seed
        Of the posterior samples. Together with `batch_size` it fixes the result; the random state of the caller is
        left as it was.
    """
    module.eval()
    middle = slice(plan.padding_px, plan.padding_px + plan.kept_px)
    for batch, numbers in enumerate(batches(plan, batch_size)):
        inputs = windows(plan.top[numbers], plan.left[numbers], plan.input_px)  # (T, L, Y, X)
        with _seeded(inputs.device, _batch_seed(seed, batch)):
            mean = _predict(module, inputs, samples)
        yield TileBatch(numbers, mean[..., middle, middle].cpu().numpy())


def _batch_seed(seed: int, batch: int) -> int:
    return int(np.random.SeedSequence((seed, batch)).generate_state(1)[0])


@torch.inference_mode()
def _predict(network: Network, inputs: Tensor, samples: int) -> Tensor:
    """Return the mean of posterior samples (T, C, Y, X), which share one pass of the encoder."""
    maps = network.encode(inputs)
    mean = network.decode(maps, with_kl=False).mean
    for drawn in range(2, samples + 1):
        mean = mean + (network.decode(maps, with_kl=False).mean - mean) / drawn
    return mean


@contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the generator of `device`, and give it back as it was."""
    if device.type == "cuda":
        with torch.random.fork_rng(devices=[device]), torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
            yield
    else:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield


def predict_frame(
    module: Network,
    windows: Windows,
    shape: tuple[int, int],
    *,
    tiling: TilingConfig,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FloatArray:
    """Predict a whole frame (C, Y, X) in normalised units.

    Parameters
    ----------
    module
        A network.
    windows
        Gives the inputs for window positions of the frame.
    shape
        Y and X of the frame, in px.
    tiling
        How the frame is tiled.
    batch_size
        Most tiles at once; None = see `default_batch_size`.
    seed
        Of the posterior samples.
    progress
        Told the tiles done and the tiles in all.

    Raises
    ------
    ConfigError
        If the network cannot take the tiling, or `batch_size` is below 1.
    CheckpointError
        If it predicts what are no finite numbers.
    """
    model = module.config
    check_tiling(model, tiling)
    plan = plan_tiles(*shape, patch_px=model.patch_px, tiling=tiling)
    device = next(module.parameters()).device
    tiles = iterate_tiles(
        module,
        windows,
        plan,
        samples=posterior_samples(model, tiling),
        batch_size=default_batch_size(model, plan.input_px, device) if batch_size is None else batch_size,
        seed=seed,
    )
    counted = tiles if progress is None else _reported(tiles, len(plan.top), progress)
    frame = stitch(plan, counted, structure_channels=model.structure_channels)
    if not np.isfinite(frame).all():
        raise CheckpointError(
            "the network predicts pixels that are NaN or infinite, so its training has diverged: "
            "train again with a lower train.learning_rate"
        )
    return frame


def _reported(tiles: Iterator[TileBatch], total: int, progress: Progress) -> Iterator[TileBatch]:
    done = 0
    for batch in tiles:
        yield batch
        done += len(batch.numbers)
        progress(done, total)


class Splitter:
    """A trained network, ready to split superimposed images; made by `Splitter.load`."""

    def __init__(self, module: Network, saved: SavedModel, device: torch.device) -> None:
        self.module = module
        self.saved = saved
        self.device = device

    @classmethod
    def load(cls, path: str | PathLike[str], device: torch.device | str = "cpu") -> "Splitter":
        """Load a model file, as training writes it.

        Raises
        ------
        CheckpointError
            If the file is no model file of this project.
        """
        module, saved = load_model(Path(path), device)
        return cls(module, saved, torch.device(device))

    def split(
        self,
        image: NDArray[Any],
        *,
        tiling: TilingConfig | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """Split a superimposed image into its structure channels.

        The image is the network's input as it is: its intensities are taken to be those of the superposition in
        training, which is the average or the sum of the structure channels (`data.superposition`). It is then prepared
        as that was: its own background quantile is removed, if `data.background_quantile` is on; it is clipped at the
        superposition of the clip values of the channels, which no input exceeded in training; and it is normalised as
        inputs were. The same call gives the same result.

        Parameters
        ----------
        image : (Y, X)
            Of any size and real type. What lies beyond it follows `data.border` of the training.
        tiling
            None = that of the run which trained the network.
        batch_size
            Most tiles at once; None = see `default_batch_size`.
        progress
            Told the tiles done and the tiles in all.

        Returns
        -------
        (C, Y, X), float32
            In intensities of the structure channels, in the order of `saved.channel_names`.

        Raises
        ------
        DataError
            If the image is not (Y, X), is too small for the lateral context, or has pixels that are no finite numbers.
        ConfigError
            If the network cannot take the tiling, or `batch_size` is below 1.
        CheckpointError
            If the network predicts what are no finite numbers.
        """
        run = self.saved.run
        source = PatchSource.from_images(
            _checked(image)[None], self.saved.statistics, run.data, lc_depth=run.model.lc_depth, device=self.device
        )
        prediction = predict_frame(
            self.module,
            windows_of(source, frame=0),
            (image.shape[0], image.shape[1]),
            tiling=run.tiling if tiling is None else tiling,
            batch_size=batch_size,
            progress=progress,
        )
        return denormalise_target(prediction, self.saved.statistics)


def _checked(image: NDArray[Any]) -> NDArray[Any]:
    """Return the image (Y, X) in a type that frames may have, or say what is wrong with it."""
    if image.ndim != 2 or not image.size:
        raise DataError(f"the image has shape {image.shape}: give one superimposed image (Y, X)")
    if image.dtype.kind not in "buif":
        raise DataError(f"the image has pixels of type {image.dtype}: give integers or real numbers")
    if image.dtype.kind in "ui":
        return image
    with np.errstate(over="ignore"):
        pixels = image.astype(np.float32)
    bad = np.count_nonzero(~np.isfinite(pixels))
    if bad:
        raise DataError(f"{bad} pixels of the image are NaN, infinite or beyond float32: replace them")
    return pixels
