"""`usplit evaluate`: score a trained model on images whose structure channels are known."""

import csv
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from usplit_core.config import TilingConfig
from usplit_core.errors import DataError, OutputError
from usplit_core.settings import Setting
from usplit_core.vocabulary import METRICS

#: The setting that says which channels of the images are meant.
CHANNELS = "data.channels"

#: Shown where an evaluation has them; a file holds every score.
_SHOWN = (
    "scale_invariant_psnr_db",
    "psnr_db",
    "ssim",
    "ms_ssim",
    "seam_gradient_ratio",
    "calibration_error",
)


class _Scores(NamedTuple):
    """The scores of one image."""

    image: str
    channels: tuple[str, ...]
    metrics: dict[str, float]
    frames: list[dict[str, float | int]]


def evaluate_command(
    model: Path,
    images: list[str],
    *,
    tiling: TilingConfig,
    channels: Setting,
    axes: str | None,
    out: Path | None,
) -> None:
    """Superimpose the channels of every image, split them and show the scores; write those of frames to `out`.

    `channels` are those of the images; None = as in the training.

    Raises
    ------
    UserError
        If the model, an image, the tiling or the output cannot be used.
    """
    if out is not None:
        _make_folder(out)
    from study.commands.device import pick_device
    from usplit_core.checkpoint import load_model
    from usplit_core.config import check_tiling
    from usplit_core.data.frames import read_frames
    from usplit_core.data.splits import Parts
    from usplit_core.inference.evaluation import evaluate

    _, saved = load_model(model)
    check_tiling(saved.run.model, tiling)
    chosen: Any = saved.run.data.channels if channels is None else channels
    found = []
    for image in images:
        frames = read_frames(image, axes=axes, channels=chosen)
        count = frames.pixels.shape[1]
        if count != saved.run.model.structure_channels:
            raise DataError(
                f"{image} has {count} channels, but the network splits into {saved.run.model.structure_channels}: "
                "choose them with --set data.channels=0,1"
            )
        parts = Parts(frames.pixels[:0], frames.pixels[:0], frames.pixels, {})
        (evaluation,) = evaluate(model, parts, [tiling], device=pick_device())
        found.append(_Scores(Path(image).name, saved.channel_names, evaluation.metrics, evaluation.frames))
    Console().print(_table(found), soft_wrap=True)
    if out is not None:
        _write_csv(found, out)


def _table(found: list[_Scores]) -> Table:
    """Return a line an image and structure channel."""
    names = [name for name in _SHOWN if any(f"test/{name}" in scores.metrics for scores in found)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("image", "channel"):
        table.add_column(heading)
    for name in names:
        metric = METRICS[f"test/{name}"]
        table.add_column(f"{metric.label} ({metric.unit})" if metric.unit else metric.label, justify="right")
    for scores in found:
        for channel, channel_name in enumerate(scores.channels):
            numbers = [f"{scores.metrics[f'test/{name}/{channel}']:.3f}" for name in names]
            table.add_row(scores.image, channel_name, *numbers)
    return table


def _write_csv(found: list[_Scores], path: Path) -> None:
    """Write a line an image, frame and structure channel."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["image", *found[0].frames[0]])
            writer.writeheader()
            for scores in found:
                writer.writerows({"image": scores.image, **row} for row in scores.frames)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise _unwritable(path, error) from None


def _make_folder(path: Path) -> None:
    """Make the folder of a file, before anything is computed for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"--out {path}: {error.strerror}; name a file in a folder that can be written to")
