"""The authors' published checkpoints: read without running code from them, and understood from what they hold.

A Lightning checkpoint of "juglab/uSplit" holds the weights by name, the epoch and the state of the training, but
neither the configuration nor the statistics of the images. The network follows from names and shapes; the statistics
have to be given.
"""

import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from usplit_core.config import DataConfig
from usplit_core.data.mixing import Statistics, mixing_weights, statistics_from_json
from usplit_core.errors import CheckpointError, DataError, nearest
from usplit_core.settings import Setting

#: The patch size of nearly all of the authors' networks, and the middle of those that they tried.
USUAL_PATCH_PX = 64

_OPTIONAL = {"background_quantile", "weights"}


class OriginalCheckpoint(NamedTuple):
    """What is used of a checkpoint: the tensors by the authors' names, and the epoch, 0 where it does not say."""

    tensors: dict[str, Tensor]
    epoch: int


def read_original(path: Path) -> OriginalCheckpoint:
    """Read a checkpoint, or a file with its ``state_dict`` alone.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or foreign, or could only be read by running code from it.
    """
    try:
        if not path.is_file():
            raise CheckpointError(
                f"{path}: there is no such file; name a checkpoint of the authors' implementation, *.ckpt"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of some foreign files before it refuses them
            content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a foreign file makes the reader stumble over, nothing of it has been run
        raise CheckpointError(_refusal(path, error)) from error
    tensors = _tensors(content.get("state_dict", content)) if isinstance(content, dict) else {}
    if not tensors:
        raise CheckpointError(f"{path} holds no state_dict: name a checkpoint of the authors' implementation, *.ckpt")
    epoch = content.get("epoch")
    return OriginalCheckpoint(tensors, epoch if isinstance(epoch, int) else 0)


def _tensors(state_dict: Any) -> dict[str, Tensor]:
    items = state_dict.items() if isinstance(state_dict, dict) else ()
    return {str(name).removeprefix("model."): value for name, value in items if isinstance(value, Tensor)}


def _refusal(path: Path, error: Exception) -> str:
    try:
        code = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (ValueError, RuntimeError, OSError):  # not in the format that this function reads
        code = []
    if not code:
        return (
            f"{path} is damaged, or no PyTorch checkpoint that can be read without running code from it "
            f"({type(error).__name__}): download it again"
        )
    return (
        f"{path} can only be read by running code from it ({', '.join(sorted(code)[:3])}), which usplit does not do. "
        "If you trust it, take its numbers alone, where the authors' implementation is installed: "
        "torch.save({'state_dict': torch.load(FILE)['state_dict']}, 'weights.ckpt')"
    )


def infer_settings(tensors: Mapping[str, Tensor], stated: Mapping[str, Setting] | None = None) -> dict[str, Setting]:
    """Return the settings of the network that has these tensors, by dotted name.

    Names and shapes give all but four settings, which are taken from `stated` or else from what is usual:

    - hvae or hae, which have the same tensors: an hae, which the training of the authors' code leaves with a top prior
      of zeros, is known by that;
    - lean against regular and deep, and the patch size, of which the size of the top prior is a function: the pair
      whose patch size is closest to 64 px;
    - the patch size of a U-Net or BraveNet: 64 px;
    - predicted log-variances: one for each pixel.

    Parameters
    ----------
    tensors
        By the authors' names, as `read_original` returns them.
    stated
        Settings that are known.

    Raises
    ------
    CheckpointError
        If this is none of the authors' networks, or no patch size goes with what is stated.
    """
    known = {name: value for name, value in (stated or {}).items() if name.startswith("model.")}
    for mark, infer in _FAMILIES.items():
        if mark in tensors:
            try:
                return {**infer(tensors, known), **known}
            except (KeyError, IndexError, ValueError) as error:
                raise CheckpointError(f"{_UNKNOWN}: it has {mark}, but {error} is missing or strange") from error
    raise CheckpointError(f"{_UNKNOWN}: it has none of {', '.join(_FAMILIES)}")


_UNKNOWN = "the file holds none of the authors' networks (HVAE, HAE, U-Net, BraveNet)"


def _infer_ladder(tensors: Mapping[str, Tensor], known: Mapping[str, Setting]) -> dict[str, Setting]:
    depth = _count(r"bottom_up_layers\.(\d+)\.", tensors)
    lc_depth = _count(r"lowres_first_bottom_ups\.(\d+)\.", tensors)
    top_prior = tensors[f"top_down_layers.{depth - 1}.top_prior_params"]  # (1, 2 Z, Y, X)
    latent_channels = tuple(
        tensors[f"top_down_layers.{level}.stochastic.conv_out.weight"].shape[1] for level in range(depth)
    )
    outputs = tensors["likelihood.parameter_net.weight"].shape[0]
    predicts_variance = outputs % 2 == 0 and outputs > 2
    variant, patch_px = _variant_and_patch(top_prior.shape[-1], depth, lc_depth, known)
    return {
        "model.architecture": "hvae" if top_prior.any() else "hae",
        "model.variant": variant,
        "model.lc_depth": lc_depth,
        "model.patch_px": patch_px,
        "model.structure_channels": outputs // 2 if predicts_variance else outputs,
        "model.depth": depth,
        "model.filters": tensors["first_bottom_up.0.weight"].shape[0],
        "model.latent_channels": latent_channels[0] if len(set(latent_channels)) == 1 else latent_channels,
        "model.log_variance": "pixelwise" if predicts_variance else "none",
    }


def _variant_and_patch(
    prior_px: int, depth: int, lc_depth: int, known: Mapping[str, Setting]
) -> tuple[Setting, Setting]:
    """Return the variant and the patch size that give a top prior of this size, closest to the usual patch size."""
    halvings = {"lean": depth, "deep" if depth > lc_depth else "regular": depth - lc_depth}
    if not lc_depth:
        halvings = {"vanilla": depth}
    elif known.get("model.variant") in ("regular", "deep"):
        halvings = {str(known["model.variant"]): depth - lc_depth}
    pairs = [(variant, prior_px << count) for variant, count in halvings.items()]
    fitting = [
        (variant, patch_px)
        for variant, patch_px in pairs
        if known.get("model.variant", variant) == variant and known.get("model.patch_px", patch_px) == patch_px
    ]
    if not fitting:
        possible = " or ".join(f"{variant} with {patch_px} px" for variant, patch_px in pairs)
        raise CheckpointError(
            f"a top prior of {prior_px} px belongs to {possible}: "
            "change model.variant or model.patch_px, or leave both out"
        )
    return min(fitting, key=lambda pair: abs(math.log2(pair[1] / USUAL_PATCH_PX)))


def _infer_unet(tensors: Mapping[str, Tensor], known: Mapping[str, Setting]) -> dict[str, Setting]:
    depth = _count(r"down(\d+)\.", tensors)
    lc_depth = _count(r"lowres_net\.(\d+)\.", tensors)
    with_context = "deep" if depth > lc_depth else "regular"
    return {
        "model.architecture": "unet",
        "model.variant": with_context if lc_depth else "vanilla",
        "model.lc_depth": lc_depth,
        "model.patch_px": USUAL_PATCH_PX,
        "model.structure_channels": tensors["outc.conv.weight"].shape[0],
        "model.depth": depth,
        "model.filters": tensors["inc.double_conv.0.weight"].shape[0],
    }


def _infer_bravenet(tensors: Mapping[str, Tensor], known: Mapping[str, Setting]) -> dict[str, Setting]:
    with_context = "lowres_input_bn.weight" in tensors
    structure_channels, filters = tensors["output_branch.0.weight"].shape[:2]
    return {
        "model.architecture": "bravenet",
        "model.variant": "regular" if with_context else "vanilla",
        "model.lc_depth": int(with_context),
        "model.patch_px": USUAL_PATCH_PX,
        "model.structure_channels": structure_channels,
        "model.depth": _count(r"bottom_up_layers\.(\d+)\.", tensors),
        "model.filters": filters,
    }


def _count(pattern: str, names: Iterable[str]) -> int:
    """Return how many numbers stand at the group of `pattern` in the beginnings of names."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


_Infer = Callable[[Mapping[str, Tensor], Mapping[str, Setting]], dict[str, Setting]]

#: A tensor that only this network has -> what reads its settings.
_FAMILIES: Mapping[str, _Infer] = {
    "first_bottom_up.0.weight": _infer_ladder,
    "inc.double_conv.0.weight": _infer_unet,
    "input_bn.weight": _infer_bravenet,
}


def read_statistics(path: Path, data: DataConfig) -> Statistics:
    """Read the statistics of a training from a JSON file.

    Parameters
    ----------
    path
        A file with an object of ``clip`` (the upper clip value: one number, one a structure channel, or null = off),
        ``input_mean``, ``input_std``, ``target_mean`` and ``target_std`` (one a structure channel each); and where they
        differ from `data`, ``weights`` (mixing weights, one a structure channel) and ``background_quantile``.
    data
        Of the run.

    Raises
    ------
    DataError
        If the file cannot be read, or lacks a number; names all that is missing.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no JSON file that can be read ({error}): {STATISTICS_HELP}") from None
    if not isinstance(values, dict):
        raise DataError(f"{path} holds no JSON object: {STATISTICS_HELP}")
    missing = [name for name in Statistics._fields if name not in values and name not in _OPTIONAL]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: {STATISTICS_HELP}")
    unknown = [name for name in values if name not in Statistics._fields]
    if unknown:
        raise DataError(f"{path}: there is no number {unknown[0]!r}; {nearest(unknown[0], Statistics._fields)}")
    channels = len(data.channels)
    if not isinstance(values["clip"], list):
        values["clip"] = [values["clip"]] * channels
    defaults = {"background_quantile": data.background_quantile, "weights": mixing_weights(data)}
    return _checked(path, defaults | values, channels)


#: What a statistics file has to hold; part of messages.
STATISTICS_HELP = (
    "give an object with clip (a number, or null = off), input_mean, input_std, and, each a list with one number a "
    "structure channel, target_mean and target_std, as the training of the checkpoint computed them"
)


def _checked(path: Path, values: dict[str, Any], channels: int) -> Statistics:
    for name, value in values.items():
        is_list = name in ("clip", "weights", "target_mean", "target_std")
        numbers = list(value) if is_list and isinstance(value, list | tuple) else [value]
        if is_list and len(numbers) != channels:
            raise DataError(f"{path}: {name} = {value} must hold {channels} numbers, one a structure channel")
        for number in numbers:
            if name == "clip" and number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise DataError(f"{path}: {name} = {value} must be {'numbers' if is_list else 'a number'}")
            if name.endswith("_std") and number <= 0:
                raise DataError(f"{path}: {name} = {value} must be above 0")
            if name == "weights" and number < 0:
                raise DataError(f"{path}: {name} = {value} must not be below 0")
    if not sum(values["weights"]) > 0:
        raise DataError(f"{path}: weights = {values['weights']} must not all be 0")
    if not 0 <= values["background_quantile"] < 1:
        raise DataError(f"{path}: background_quantile = {values['background_quantile']} must be at least 0 and below 1")
    return statistics_from_json(values)
