"""Splits superimposed images into their structure channels. Source: docs/method.md, Tiling."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from usplit_core.checkpoint import SavedModel, load_model
from usplit_core.config import TilingConfig
from usplit_core.data.image_files import LazyImage, open_image
from usplit_core.data.mixing import denormalise_target
from usplit_core.data.sampling import PatchSource
from usplit_core.data.streaming import StreamedImage
from usplit_core.errors import DataError
from usplit_core.inference.stitching import Rows
from usplit_core.inference.tile_prediction import Progress, fill_border, predict_frame, predict_rows, windows_of
from usplit_core.inference.tiling import FloatArray, plan_tiles
from usplit_core.models import Network


class SplitImage(NamedTuple):
    """Structure channels in intensities: mean (C, Y, X), and std (C, Y, X) where a pixel is predicted more than once.

    `std` is the deviation of the predictions that `mean` averages: posterior samples, and with sliding tiling also
    tiles. It is None where there is one prediction a pixel.
    """

    mean: FloatArray
    std: FloatArray | None


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
        image: NDArray[Any] | str | PathLike[str],
        *,
        tiling: TilingConfig | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """Split a superimposed image into its structure channels, (C, Y, X); see `split_with_std`."""
        return self.split_with_std(image, tiling=tiling, batch_size=batch_size, progress=progress).mean

    def split_with_std(
        self,
        image: NDArray[Any] | str | PathLike[str],
        *,
        tiling: TilingConfig | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> SplitImage:
        """Split a superimposed image into its structure channels.

        The image is the network's input as it is: its intensities are taken to be those of the superposition in
        training, which is the average or the sum of the structure channels (`data.superposition`). It is then prepared
        as that was: its own background quantile is removed, if `data.background_quantile` is on; it is clipped at the
        superposition of the clip values of the channels, which no input exceeded in training; and it is normalised as
        inputs were. The same call gives the same result.

        Parameters
        ----------
        image : (Y, X)
            An array of any size and real type, or a file that holds one image. What lies beyond it follows
            `tiling.border`.
        tiling
            None = that of the run which trained the network.
        batch_size
            Most tiles at once; None = see `default_batch_size`. Where memory does not suffice, batches are halved.
        progress
            Told the tiles done and the tiles in all.

        Returns
        -------
        Channels in float32, in intensities of the structure channels and in the order of `saved.channel_names`.

        Raises
        ------
        DataError
            If the image is not (Y, X), is too small for the lateral context, or has pixels that are no finite numbers.
        ConfigError
            If the network cannot take the tiling, or `batch_size` is below 1.
        CheckpointError
            If the network predicts what are no finite numbers.
        """
        pixels = _checked(image if isinstance(image, np.ndarray) else _read_one(Path(image)))
        run = self.saved.run
        tiling = run.tiling if tiling is None else tiling
        source = PatchSource.from_images(
            pixels[None], self.saved.statistics, run.data, lc_depth=run.model.lc_depth, device=self.device
        )
        prediction = predict_frame(
            self.module,
            windows_of(source, 0, fill_border(tiling, run.data.border)),
            (pixels.shape[0], pixels.shape[1]),
            tiling=tiling,
            batch_size=batch_size,
            progress=progress,
        )
        covered = self._covered(pixels.shape, tiling)
        return SplitImage(*self._in_intensities(prediction.mean, prediction.std, covered))

    def split_rows(
        self,
        image: LazyImage,
        frame: int = 0,
        *,
        tiling: TilingConfig,
        batch_size: int | None = None,
        progress: Progress | None = None,
        first_row: int = 0,
    ) -> Iterator[Rows]:
        """Split a frame of an image file from top to bottom, holding some rows of it at a time.

        The rows are those of `split_with_std`, from `first_row` on; parameters and errors as there.
        """
        run = self.saved.run
        shape = (image.height, image.width)
        covered = self._covered(shape, tiling)
        source = StreamedImage(
            lambda top, bottom: image.read(frame, top, bottom),
            shape,
            self.saved.statistics,
            run.data,
            border=fill_border(tiling, run.data.border),
            lc_depth=run.model.lc_depth,
            device=self.device,
        )
        for rows in predict_rows(
            self.module,
            source.windows,
            shape,
            tiling=tiling,
            batch_size=batch_size,
            progress=progress,
            first_row=first_row,
        ):
            here = (max(0, covered[0] - rows.top), covered[1])
            yield Rows(rows.top, *self._in_intensities(rows.mean, rows.std, here))

    def _covered(self, shape: tuple[int, ...], tiling: TilingConfig) -> tuple[int, int]:
        return plan_tiles(shape[0], shape[1], patch_px=self.saved.run.model.patch_px, tiling=tiling).covered

    def _in_intensities(
        self, mean: FloatArray, std: FloatArray | None, covered: tuple[int, int]
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return prediction and deviation in intensities; pixels beyond the `covered` rows and columns are 0."""
        image = denormalise_target(mean, self.saved.statistics)
        image[:, covered[0] :] = 0
        image[:, :, covered[1] :] = 0
        scale = np.asarray(self.saved.statistics.target_std, np.float32)[:, None, None]  # (C, 1, 1)
        return image, None if std is None else std * scale


def _read_one(path: Path) -> NDArray[Any]:
    """Return the one image (Y, X) of a file."""
    with open_image(str(path)) as image:
        if image.frames != 1:
            raise DataError(
                f"{path} holds {image.frames} images: split them with `usplit predict`, or give one as an array"
            )
        return image.read(0, 0, image.height)


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
