"""`usplit import`: a checkpoint of the authors' implementation as a model file of this package."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from study.commands.program import program
from study.commands.spaces import parse_pair
from usplit_core import __version__
from usplit_core.config import RunConfig
from usplit_core.data.mixing import Statistics
from usplit_core.errors import CheckpointError, ConfigError
from usplit_core.settings import Setting, format_setting, parse_setting, resolve

_DEFAULT_PADDING_PX = 16


class _Images(NamedTuple):
    """What the images of the training tell, or a file in their place."""

    statistics: Statistics
    split: dict[str, object]
    channel_names: tuple[str, ...]


def import_command(
    checkpoint: Path, out: Path, settings: list[str], *, statistics: Path | None, images: list[str]
) -> None:
    """Write the weights of `checkpoint`, with what is needed to predict, to `out`; show the settings of its network.

    Raises
    ------
    UserError
        If the checkpoint, a setting, the statistics or the output cannot be used.
    """
    from usplit_core.checkpoint import SavedModel, save_model
    from usplit_core.interop import load_original_state_dict
    from usplit_core.models import build
    from usplit_core.original import infer_settings, read_original

    stated = {name: parse_setting(name, text) for name, text in map(parse_pair, settings)}
    original = read_original(checkpoint)
    network = infer_settings(original.tensors, stated)
    run = _run(network | stated, checkpoint, images)
    known = _from_images(run) if images and statistics is None else _from_file(run, checkpoint, statistics, images)
    module = build(run.model)
    load_original_state_dict(module, original.tensors)
    saved = SavedModel(
        run=run,
        statistics=known.statistics,
        split=known.split,
        metrics={},
        epoch=original.epoch,
        version=__version__,
        channel_names=known.channel_names,
    )
    save_model(out, module, saved)
    _show(Console(), network, stated, out)


def _run(settings: Mapping[str, Setting], checkpoint: Path, images: list[str]) -> RunConfig:
    """Return the run that a training of this network would have been, as far as predictions depend on it."""
    channels, patch_px = settings["model.structure_channels"], settings["model.patch_px"]
    defaults: dict[str, Setting] = {"data.path": f"imported:{checkpoint.name}"}
    if isinstance(channels, int):
        defaults["data.channels"] = tuple(range(channels))
    if isinstance(patch_px, int):
        defaults["tiling.padding_px"] = min(_DEFAULT_PADDING_PX, patch_px // 4)
    if images:
        settings = {**settings, "data.path": images[0] if len(images) == 1 else tuple(images)}
    return resolve(defaults | dict(settings))


def _from_images(run: RunConfig) -> _Images:
    """Compute the statistics as the training did."""
    from usplit_core.data.frames import read_frames
    from usplit_core.data.mixing import fit_statistics
    from usplit_core.data.splits import split

    frames = read_frames(run.data.path, axes=run.data.axes, channels=run.data.channels)
    parts = split(frames.pixels, run.data)
    return _Images(fit_statistics(parts.train, run.data), parts.record, frames.channel_names)


def _from_file(run: RunConfig, checkpoint: Path, statistics: Path | None, images: list[str]) -> _Images:
    from usplit_core.original import STATISTICS_HELP, read_statistics

    if statistics is None:
        raise CheckpointError(
            f"{checkpoint} does not hold the statistics of the images that its network was trained with. Name these "
            "images, --from-images PATH (once for each file of a structure channel), with --set data.… where their "
            f"split or preparation was not the default; or name a JSON file, --statistics FILE: {STATISTICS_HELP}"
        )
    if images:
        raise ConfigError("--statistics and --from-images exclude each other: give one of them")
    names = tuple(name if isinstance(name, str) else f"channel {name}" for name in run.data.channels)
    return _Images(read_statistics(statistics, run.data), {"rule": "imported"}, names)


def _show(console: Console, network: Mapping[str, Setting], stated: Mapping[str, Setting], out: Path) -> None:
    """Print the settings, so that a wrong guess is seen."""
    for name, value in network.items():
        origin = "stated" if name in stated else "from the checkpoint"
        console.print(f"{name:<26}{format_setting(value):<12}{origin}", highlight=False, markup=False)
    console.print(f"\nModel  {out}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Use    {program()} predict {out} IMAGE.tif", highlight=False, markup=False, soft_wrap=True)
