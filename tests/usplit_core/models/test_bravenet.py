import pytest
import torch

from tests.usplit_core.models.networks import image, network
from usplit_core.models.bravenet import BraveNet

variants = pytest.mark.parametrize(("variant", "lc_depth"), [("vanilla", 0), ("regular", 0), ("regular", 1)])


@variants
def test_every_parameter_gets_a_gradient(variant: str, lc_depth: int) -> None:
    model = network("bravenet", variant, lc_depth=lc_depth, patch_px=16)
    prediction = model(image(2, 1 + lc_depth, 16, 16))
    (prediction.mean.sum() + sum(head.sum() for head in prediction.auxiliary)).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@variants
def test_heads_have_the_size_of_the_input_and_serve_training_only(variant: str, lc_depth: int) -> None:
    model = network("bravenet", variant, lc_depth=lc_depth, patch_px=16, structure_channels=3)
    x = image(2, 1 + lc_depth, 24, 16)
    prediction = model(x)
    assert prediction.mean.shape == (2, 3, 24, 16)
    assert [head.shape for head in prediction.auxiliary] == [(2, 3, 24, 16)] * 2
    assert model.eval()(x).auxiliary == ()


def test_filters_of_the_paper() -> None:
    model = network("bravenet", "regular", filters=32)
    assert isinstance(model, BraveNet)
    maps = model.encode(image(1, 2, 64, 64))
    assert [tuple(x.shape[1:]) for x in maps] == [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8)]
    inputs = [module.in_channels for module in model.up.modules() if isinstance(module, torch.nn.Conv2d)]
    assert inputs[::2] == [512, 256, 128]


def test_context_reaches_the_prediction() -> None:
    model = network("bravenet", "regular", patch_px=16).eval()
    x = image(1, 2, 16, 16)
    elsewhere = x.clone()
    elsewhere[:, 1, 0, 0] += 10
    assert not torch.allclose(model(x).mean, model(elsewhere).mean)
