import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.usplit_core.models.networks import network
from usplit_core.errors import CheckpointError
from usplit_core.interop import load_original_state_dict

REFERENCE = Path(__file__).resolve().parents[1] / "reference"


def original(file: str) -> dict[str, Tensor]:
    """Return tensors with the names and shapes in the authors' state dict, each filled with another number."""
    shapes = json.loads((REFERENCE / f"original_names_{file}.json").read_text())
    return {name: torch.full(shape, float(index)) for index, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("architecture", ["hvae", "hae"])
def test_deep_network_takes_the_authors_tensors_but_for_dead_merges(architecture: str) -> None:
    model, arrays = network(architecture, "deep"), original("deep")
    load_original_state_dict(model, arrays)
    ours = {float(tensor.flatten()[0]) for name, tensor in model.state_dict().items() if "num_batches" not in name}
    unused = {name for index, name in enumerate(arrays) if index not in ours}
    dead = {
        name for name in arrays for level in range(4, 8) if name.startswith(f"bottom_up_layers.{level}.lowres_merge")
    }
    if architecture == "hae":
        dead |= {name for name in arrays if "conv_in_p" in name or "top_prior" in name}
    assert unused == dead


def test_unet_takes_every_tensor_of_the_authors() -> None:
    model, arrays = network("unet", "deep", filters=2), original("unet_lc")
    load_original_state_dict(model, arrays)
    ours = {float(tensor.flatten()[0]) for name, tensor in model.state_dict().items() if "num_batches" not in name}
    assert ours == set(range(len(arrays)))


def test_names_may_be_nested_and_prefixed_and_carry_counters() -> None:
    arrays = original("deep")
    expected, model = network("hvae", "deep"), network("hvae", "deep")
    load_original_state_dict(expected, arrays)
    counters = {"first_bottom_up.2.res.block.0.num_batches_tracked": torch.tensor(7)}
    wrapped = {f"model.{name}": tensor for name, tensor in (arrays | counters).items()}
    load_original_state_dict(model, {"state_dict": wrapped, "epoch": 3})
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=0)


def test_missing_and_unknown_tensors_are_named_and_nothing_is_loaded() -> None:
    arrays = original("deep")
    model = network("hvae", "deep")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"has not: surprise\.weight;"):
        load_original_state_dict(model, arrays | {"surprise.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"lacks .*: likelihood\.parameter_net\.bias;"):
        load_original_state_dict(
            model, {name: tensor for name, tensor in arrays.items() if name != "likelihood.parameter_net.bias"}
        )
    with pytest.raises(CheckpointError, match=r"another shape: likelihood\.parameter_net\.bias \(5,\) for \(4,\)"):
        load_original_state_dict(model, arrays | {"likelihood.parameter_net.bias": torch.zeros(5)})
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_a_network_of_another_variant_is_refused() -> None:
    with pytest.raises(CheckpointError, match="architecture, variant and sizes"):
        load_original_state_dict(network("hvae", "regular"), original("deep"))


def convolution_names(prefix: str, norm: bool) -> list[str]:
    """Return the names of one of the authors' convolutions in BraveNet, a sequence of convolution, ReLU, norm."""
    names = [f"{prefix}.0.weight", f"{prefix}.0.bias"]
    statistics = ("weight", "bias", "running_mean", "running_var")
    return names + ([f"{prefix}.2.{name}" for name in statistics] if norm else [])


def test_bravenet_takes_every_tensor_of_the_authors() -> None:
    model = network("bravenet", "regular")
    shapes = [tuple(tensor.shape) for name, tensor in model.state_dict().items() if "num_batches" not in name]
    names = [f"{norm}.{name}" for norm in ("input_bn", "lowres_input_bn") for name in ("weight", "bias")]
    names += [f"{norm}.running_{name}" for norm in ("input_bn", "lowres_input_bn") for name in ("mean", "var")]
    paths = [("bottom_up_layers", 4), ("lowres_bottom_up_layers", 4), ("top_down_layers", 3)]
    for path, levels in paths:
        for level in range(levels):
            for step in (0, 1):
                names += convolution_names(f"{path}.{level}.{step}", norm=True)
    for path in (
        "merge_block.0",
        "merge_block.1",
        "output_branch",
        "lowres_output_branches.0",
        "lowres_output_branches.1",
    ):
        names += convolution_names(path, norm=False)
    assert len(names) == len(shapes)
    with pytest.raises(CheckpointError, match="another shape"):
        # Every name is known: what is refused is the one shape that all of them have here.
        load_original_state_dict(model, {f"model.{name}": torch.zeros(0) for name in names})
