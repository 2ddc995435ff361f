"""Weights of the authors' implementation in our networks.

Names follow the state dicts of "juglab/uSplit usplit/nets/{lvae,unet,brave_net}.py". What those networks own and
never use is ignored: merges of lateral context above lc_depth, and in the HAE the priors and the
variance half of each posterior head.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from usplit_core.errors import CheckpointError
from usplit_core.models import Network
from usplit_core.models.hvae import LadderVAE
from usplit_core.models.unet import UNet

Rename = tuple[str, str | Callable[[re.Match[str]], str]]


class _Dialect(NamedTuple):
    """How the authors name the tensors of one network.

    Attributes
    ----------
    renames
        Patterns in our names and what stands there in theirs, applied one after the other.
    unused
        Patterns of their names that have no place in our network.
    """

    renames: tuple[Rename, ...]
    unused: tuple[str, ...]


def _count_from_one(match: re.Match[str]) -> str:
    return f"{match[1]}{int(match[2]) + 1}"


#: Theirs numbers what our residual blocks and merges name.
_BLOCKS: tuple[Rename, ...] = (
    (r"merge\.mix\.", "merge.layer.0."),
    (r"merge\.block\.", "merge.layer.1."),
    (r"\bnorms\.0\.", "block.0."),
    (r"\bconvs\.0\.", "block.2."),
    (r"\bnorms\.1\.", "block.4."),
    (r"\bconvs\.1\.", "block.6."),
    (r"gate\.conv\.", "block.8.conv."),
    (r"^context_stems\.(\d+)\.0\.", r"lowres_first_bottom_ups.\1.0."),
    (r"^context_stems\.(\d+)\.2\.", r"lowres_first_bottom_ups.\1.2.res."),
)

_LADDER: tuple[Rename, ...] = (
    (r"lateral_merge\.merge\.", "lowres_merge."),
    *_BLOCKS,
    (r"^stem\.0\.", "first_bottom_up.0."),
    (r"^stem\.2\.", "first_bottom_up.2.res."),
    (r"^bottom_up\.", "bottom_up_layers."),
    (r"downsample\.0\.", "net_downsized.0.pre_conv."),
    (r"downsample\.1\.", "net_downsized.0.res."),
    (r"^top_down\.", "top_down_layers."),
    (r"posterior_merge\.", "merge."),
    (r"skip_merge\.", "skip_connection_merger."),
    (r"latent\.posterior_head\.", "stochastic.conv_in_q."),
    (r"latent\.prior_head\.", "stochastic.conv_in_p."),
    (r"latent\.output\.", "stochastic.conv_out."),
    (r"latent\.top_prior$", "top_prior_params"),
    (r"upsample\.0\.", "deterministic_block.0.pre_conv."),
    (r"upsample\.1\.", "deterministic_block.0.res."),
    (r"^final_block\.", "final_top_down.0.res."),
    (r"^likelihood\.conv\.", "likelihood.parameter_net."),
)

_UNET: tuple[Rename, ...] = (
    (r"^lateral_merges\.(\d+)\.merge\.(mix|block)\.", r"lowres_merge.\1.merge.\2."),
    *_BLOCKS,
    (r"^lowres_merge\.(\d+)\.merge\.", r"lowres_merge.\1."),
    (r"^context_convs\.(\d+)\.", r"lowres_net.\1.double_conv."),
    (r"^first\.", "inc.double_conv."),
    (r"^(down)\.(\d+)", _count_from_one),
    (r"^(down\d+)\.", r"\1.maxpool_conv.1.double_conv."),
    (r"^(up)\.(\d+)", _count_from_one),
    (r"^(up\d+)\.", r"\1.conv.double_conv."),
    (r"^head\.", "outc.conv."),
)

_BRAVENET: tuple[Rename, ...] = (
    (r"^encoders\.0\.norm\.", "input_bn."),
    (r"^encoders\.1\.norm\.", "lowres_input_bn."),
    (r"^encoders\.0\.levels\.", "bottom_up_layers."),
    (r"^encoders\.1\.levels\.", "lowres_bottom_up_layers."),
    (r"^up\.", "top_down_layers."),
    (r"(layers\.\d+)\.(0|2)\.", r"\1.0.\2."),
    (r"(layers\.\d+)\.4\.", r"\1.1.0."),
    (r"(layers\.\d+)\.6\.", r"\1.1.2."),
    (r"^bottom_merge\.0\.", "merge_block.0.0."),
    (r"^bottom_merge\.2\.", "merge_block.1.0."),
    (r"^head\.", "output_branch.0."),
    (r"^auxiliary_heads\.(\d+)\.", r"lowres_output_branches.\1.0."),
)


def load_original_state_dict(model: Network, arrays: Mapping[str, Any]) -> None:
    """Load weights of the authors' implementation into `model`, in place.

    Parameters
    ----------
    model
        A network of the same architecture, variant and sizes as the one that was saved.
    arrays
        Array or tensor of each name in the authors' state dict; or a mapping that holds this one as
        ``state_dict``. Names may begin with ``weight/`` (others are then left aside) or ``model.``.

    Raises
    ------
    CheckpointError
        If tensors are missing, left over or of another shape; `model` is then unchanged.
    """
    dialect = _dialect(model)
    theirs = _plain_names(arrays)
    ours = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    names = {name: _rename(name, dialect.renames) for name in ours}
    _refuse("lacks tensors of this network", set(names.values()) - set(theirs))
    left_over = set(theirs) - set(names.values())
    _refuse("has tensors that this network has not", (name for name in left_over if not _is_unused(name, dialect)))
    values = {name: _fit(theirs[names[name]], tensor.shape, name) for name, tensor in ours.items()}
    _refuse(
        "has tensors of another shape",
        (
            f"{names[name]} {tuple(values[name].shape)} for {tuple(ours[name].shape)}"
            for name in ours
            if values[name].shape != ours[name].shape
        ),
    )
    model.load_state_dict(values, strict=False)


def _dialect(model: Network) -> _Dialect:
    if isinstance(model, LadderVAE):
        without_context = range(model.config.lc_depth, model.config.depth)
        unused = tuple(rf"bottom_up_layers\.{level}\.lowres_merge\." for level in without_context)
        if model.config.architecture == "hae":
            unused += (r"top_down_layers\.\d+\.(stochastic\.conv_in_p\.|top_prior_params$)",)
        return _Dialect(_LADDER, unused)
    if isinstance(model, UNet):
        return _Dialect(_UNET, ())
    return _Dialect(_BRAVENET, ())


def _plain_names(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    if isinstance(arrays.get("state_dict"), Mapping):
        arrays = arrays["state_dict"]
    if any(name.startswith("weight/") for name in arrays):
        arrays = {name.removeprefix("weight/"): value for name, value in arrays.items() if name.startswith("weight/")}
    # Arrays are copied: torch warns of those that it may not write to, and files are often mapped like that.
    return {
        name.removeprefix("model."): value if isinstance(value, Tensor) else torch.tensor(value)
        for name, value in arrays.items()
    }


def _rename(name: str, renames: Iterable[Rename]) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _is_unused(name: str, dialect: _Dialect) -> bool:
    return name.endswith("num_batches_tracked") or any(re.match(pattern, name) for pattern in dialect.unused)


def _fit(value: Tensor, shape: torch.Size, name: str) -> Tensor:
    """Leave out the variance half of a posterior head where ours predicts the mean alone."""
    if ".posterior_head." in name and value.shape[0] == 2 * shape[0]:
        return value[: shape[0]]
    return value


def _refuse(problem: str, names: Iterable[str]) -> None:
    listed = sorted(names)
    if listed:
        shown = ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
        raise CheckpointError(
            f"the file {problem}: {shown}; build the network with the architecture, variant and sizes of the file"
        )
