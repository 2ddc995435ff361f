import pytest
import torch

from tests.usplit_core.models.networks import image, network
from usplit_core.config import ModelConfig
from usplit_core.models import build

SHAPES = [("vanilla", 0, 3), ("lean", 2, 2), ("lean", 1, 2), ("regular", 2, 2), ("deep", 1, 3)]
shapes = pytest.mark.parametrize(("variant", "lc_depth", "depth"), SHAPES)


def test_paper_network_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = build(ModelConfig.model_validate({"architecture": "unet", "variant": "vanilla"}))
    assert sum(parameter.numel() for parameter in model.parameters()) == 69_175_618


@shapes
def test_every_parameter_gets_a_gradient(variant: str, lc_depth: int, depth: int) -> None:
    model = network("unet", variant, lc_depth=lc_depth, depth=depth, patch_px=16)
    model(image(2, 1 + lc_depth, 16, 16)).mean.sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@shapes
def test_maps_have_the_size_of_the_variant(variant: str, lc_depth: int, depth: int) -> None:
    model = network("unet", variant, lc_depth=lc_depth, depth=depth, patch_px=16)
    maps = model.encode(image(1, 1 + lc_depth, 16, 16))
    kept = 0 if variant == "lean" else lc_depth
    assert [x.shape[-1] for x in maps] == [16 >> max(level - kept, 0) for level in range(depth + 1)]


@shapes
def test_other_sizes_are_predicted_and_decode_follows_encode(variant: str, lc_depth: int, depth: int) -> None:
    model = network("unet", variant, lc_depth=lc_depth, depth=depth, patch_px=16).eval()
    x = image(1, 1 + lc_depth, 24, 40)
    prediction = model(x)
    assert prediction.mean.shape == (1, 2, 24, 40)
    assert torch.equal(model.decode(model.encode(x), with_kl=False).mean, prediction.mean)
    assert prediction.kl == ()


@pytest.mark.parametrize("variant", ["lean", "regular", "deep"])
def test_without_context_every_variant_is_the_vanilla_network(variant: str) -> None:
    vanilla = network("unet", "vanilla", lc_depth=0, depth=2, patch_px=16).eval()
    other = network("unet", variant, lc_depth=0, depth=2, patch_px=16).eval()
    other.load_state_dict(vanilla.state_dict())
    assert torch.equal(other(image(1, 1, 16, 16)).mean, vanilla(image(1, 1, 16, 16)).mean)


@pytest.mark.parametrize("variant", ["lean", "regular"])
def test_context_beyond_the_patch_changes_the_prediction(variant: str) -> None:
    model = network("unet", variant, lc_depth=2, depth=2, patch_px=16).eval()
    x = image(1, 3, 16, 16)
    elsewhere = x.clone()
    elsewhere[:, 2, 3, 3] += 10  # 4 px of the context from its centre, where the patch is 4 px wide
    assert not torch.allclose(model(x).mean, model(elsewhere).mean)
