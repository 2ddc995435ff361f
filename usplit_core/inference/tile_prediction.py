"""Predicts the tiles of a frame in batches, and yields its rows as they are finished, in normalised units.

Adds to the axis letters: T tile. Source: docs/method.md, Tiling.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from usplit_core.config import ModelConfig, TilingConfig, check_tiling
from usplit_core.data.pyramid import Border, level_start
from usplit_core.data.sampling import PatchSource
from usplit_core.errors import CheckpointError, ConfigError
from usplit_core.inference.stitching import Rows, TileBatch, stitch_rows
from usplit_core.inference.tiling import FloatArray, IntArray, TilePlan, batches, plan_tiles
from usplit_core.models import InputRow, Network, use_fast_memory_order
from usplit_core.precision import full_float32

#: Normalised inputs for windows of one frame: top (T,), left (T,), side in px -> (T, L, side, side).
Windows = Callable[[IntArray, IntArray, int], Tensor]
#: Told the tiles done and the tiles in all, after each batch.
Progress = Callable[[int, int], None]

#: Memory that a batch of tiles may take by default. Not a share of what is free: the batch decides which random
#: numbers a tile gets, and the same call must give the same result.
_BATCH_BYTES = {"cpu": 2**29, "cuda": 2**32}
#: Maps of `filters` channels at full tile size that are alive at once, about; measured on the largest network.
_LIVE_MAPS = 80


class _How(NamedTuple):
    """How tiles are predicted: posterior samples, their seed, and whether in half precision."""

    samples: int
    seed: int
    half_precision: bool


class FramePrediction(NamedTuple):
    """A predicted frame in normalised units: mean (C, Y, X), and std where a pixel is predicted more than once."""

    mean: FloatArray
    std: FloatArray | None


def fill_border(tiling: TilingConfig, trained_with: Border) -> Border:
    """Return what lies beyond the frame in prediction."""
    return trained_with if tiling.border is None or tiling.border == "shift" else tiling.border


def windows_of(source: PatchSource, frame: int, border: Border | None = None) -> Windows:
    """Return where the inputs for windows of a frame come from; None = the border of the training."""
    return lambda top, left, size_px: source.windows(np.full_like(top, frame), top, left, size_px, border=border)


def default_batch_size(model: ModelConfig, input_px: int, device: torch.device) -> int:
    """Return how many tiles of `input_px` to predict at once: within 0.5 GiB on the CPU and 4 GiB on a GPU, about."""
    bytes_per_tile = 4 * model.filters * input_px**2 * _LIVE_MAPS
    return max(1, _BATCH_BYTES.get(device.type, _BATCH_BYTES["cpu"]) // bytes_per_tile)


def posterior_samples(model: ModelConfig, tiling: TilingConfig) -> int:
    """Return the samples worth drawing: every sample of a deterministic network is the same."""
    return tiling.samples if model.architecture == "hvae" else 1


def predict_frame(
    module: Network,
    windows: Windows,
    shape: tuple[int, int],
    *,
    tiling: TilingConfig,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FramePrediction:
    """Predict a whole frame; see `predict_rows`."""
    rows = list(
        predict_rows(module, windows, shape, tiling=tiling, batch_size=batch_size, seed=seed, progress=progress)
    )
    deviations = [part.std for part in rows if part.std is not None]
    return FramePrediction(
        np.concatenate([part.mean for part in rows], axis=1),
        np.concatenate(deviations, axis=1) if deviations else None,
    )


def predict_rows(
    module: Network,
    windows: Windows,
    shape: tuple[int, int],
    *,
    tiling: TilingConfig,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    first_row: int = 0,
) -> Iterator[Rows]:
    """Predict a frame from top to bottom, in normalised units.

    Parameters
    ----------
    module
        A network; it is put into evaluation mode.
    windows
        Gives the inputs for window positions of the frame.
    shape
        Y and X of the frame, in px.
    tiling
        How the frame is tiled.
    batch_size
        Most tiles at once; None = see `default_batch_size`. Where memory does not suffice, batches are halved.
    seed
        Of the posterior samples. Together with `batch_size` it fixes the result; the random state of the caller is
        left as it was.
    progress
        Told the tiles done and the tiles in all.
    first_row
        Rows above are left out; those below are the same as without it.

    Raises
    ------
    ConfigError
        If the network cannot take the tiling or the device its precision, `batch_size` is below 1, or not even one
        tile fits into memory.
    CheckpointError
        If it predicts what are no finite numbers.
    """
    model = module.config
    check_tiling(model, tiling)
    device = next(module.parameters()).device
    how = _How(posterior_samples(model, tiling), seed, _is_half_precision(tiling, device))
    plan = plan_tiles(*shape, patch_px=model.patch_px, tiling=tiling)
    if batch_size is None:
        batch_size = default_batch_size(model, plan.input_px, device)
    numbers = [batch for batch in batches(plan, batch_size)]
    seen = [(index, batch) for index, batch in enumerate(numbers) if plan.kept[batch[-1], 2] > first_row]
    use_fast_memory_order(module, half_precision=how.half_precision)
    tiles = _predict_batches(module.eval(), windows, plan, seen, how)
    counted = tiles if progress is None else _reported(tiles, len(plan.top), progress)
    for rows in stitch_rows(
        plan, counted, structure_channels=model.structure_channels, samples=how.samples, first_row=first_row
    ):
        _check_finite(rows)
        yield rows


def _is_half_precision(tiling: TilingConfig, device: torch.device) -> bool:
    """Return whether to predict in bfloat16, which the device must be able to."""
    if tiling.precision == "float32":
        return False
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise ConfigError(
            f"tiling.precision = 'bfloat16': {torch.cuda.get_device_name(device)} cannot compute in it; "
            "set tiling.precision to float32"
        )
    return True


def _predict_batches(
    module: Network, windows: Windows, plan: TilePlan, numbered: list[tuple[int, IntArray]], how: _How
) -> Iterator[TileBatch]:
    """Predict batches of tiles, each with random numbers of its own; halve them where memory does not suffice."""
    most = max((len(batch) for _, batch in numbered), default=1)
    for index, batch in numbered:
        start = 0
        while start < len(batch):
            tiles = batch[start : start + most]
            entropy = (how.seed, index, start) if start else (how.seed, index)
            try:
                predicted = _predict_tiles(module, windows, plan, tiles, how, entropy)
            except (RuntimeError, MemoryError) as error:
                most = _halved(len(tiles), plan.input_px, error)
                continue
            yield predicted
            start += len(tiles)


def _halved(tiles: int, input_px: int, error: Exception) -> int:
    """Return the batch size to go on with after `error`, which is raised again unless memory was short."""
    # On the CPU torch has no type of its own for it.
    short = isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
    if not short:
        raise error
    if tiles == 1:
        raise ConfigError(
            f"there is not enough memory to predict a single window of {input_px} px: "
            "lower tiling.padding_px of outer tiling, or use a machine with more memory"
        ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return tiles // 2


def _predict_tiles(
    module: Network, windows: Windows, plan: TilePlan, tiles: IntArray, how: _How, entropy: tuple[int, ...]
) -> TileBatch:
    inputs = windows(plan.top[tiles], plan.left[tiles], plan.input_px)  # (T, L, Y, X)
    rows = _rows(plan, tiles, inputs.shape[1]) if inputs.device.type == "cpu" else []
    device, seed = inputs.device, int(np.random.SeedSequence(entropy).generate_state(1)[0])
    half_precision = torch.autocast(device.type, torch.bfloat16, enabled=how.half_precision)
    with full_float32(device), half_precision, _seeded(device, seed):
        mean, scatter = _predict(module, inputs, rows, how.samples, plan.margin_px)
    return TileBatch(tiles, mean.cpu().numpy(), None if scatter is None else scatter.cpu().numpy(), how.samples)


def _rows(plan: TilePlan, tiles: IntArray, levels: int) -> list[InputRow]:
    """Return the rows of the frame in which the windows of tiles lie."""
    top, left = plan.top[tiles], plan.left[tiles]
    begins = np.flatnonzero((np.diff(top) != 0) | (np.diff(left) < 0)) + 1
    rows = []
    for first, end in pairwise([0, *begins.tolist(), len(tiles)]):
        starts = [level_start(left[first:end], plan.input_px, level) for level in range(levels)]
        rows.append(InputRow(first, end, tuple(tuple(start.tolist()) for start in starts)))
    return rows


@torch.inference_mode()
def _predict(
    network: Network, inputs: Tensor, rows: Sequence[InputRow], samples: int, margin_px: int
) -> tuple[Tensor, Tensor | None]:
    """Return mean and scatter (T, C, Y, X) of posterior samples, which share one pass of the encoder."""
    maps = network.encode(inputs, margin_px=margin_px, rows=rows)
    mean = network.decode(maps, with_kl=False, margin_px=margin_px).mean
    if samples == 1:
        return mean, None
    scatter = torch.zeros_like(mean)
    for drawn in range(2, samples + 1):
        # Mean and scatter sample by sample (Welford 1962).
        sample = network.decode(maps, with_kl=False, margin_px=margin_px).mean
        step = sample - mean
        mean = mean + step / drawn
        scatter += step * (sample - mean)
    return mean, scatter


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


def _reported(tiles: Iterator[TileBatch], total: int, progress: Progress) -> Iterator[TileBatch]:
    for batch in tiles:
        yield batch
        progress(int(batch.numbers[-1]) + 1, total)


def _check_finite(rows: Rows) -> None:
    if not np.isfinite(rows.mean).all():
        raise CheckpointError(
            "the network predicts pixels that are NaN or infinite, so its training has diverged: "
            "train again with a lower train.learning_rate"
        )
