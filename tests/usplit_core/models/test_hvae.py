import pytest
import torch
from torch import Tensor, nn

from tests.usplit_core.models.networks import image, in_memory_order, model_config, network
from usplit_core.config import ModelConfig
from usplit_core.errors import ConfigError
from usplit_core.models import Network, build
from usplit_core.models.hvae import TopDownLevel

#: (variant, lc_depth, depth): at least one of each kind of level, in each kind of network.
SHAPES = [
    ("vanilla", 0, 3),
    ("lean", 1, 3),
    ("lean", 2, 2),
    ("regular", 2, 2),
    ("regular", 1, 3),
    ("deep", 2, 6),
]
shapes = pytest.mark.parametrize(("variant", "lc_depth", "depth"), SHAPES)
both = pytest.mark.parametrize("architecture", ["hvae", "hae"])


def small(architecture: str, variant: str, lc_depth: int, depth: int, **settings: object) -> Network:
    patch_px = 32 if depth == 6 else 16
    return network(architecture, variant, lc_depth=lc_depth, depth=depth, patch_px=patch_px, **settings)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("variant", "count"),
    [("vanilla", 2_991_748), ("lean", 3_657_604), ("regular", 4_702_084), ("deep", 7_177_604 - 362_752)],
)
def test_paper_networks_have_the_published_number_of_parameters(variant: str, count: int) -> None:
    with torch.device("meta"):
        # The published Deep-LC also owns four merges that it never uses.
        assert parameters(build(ModelConfig.model_validate({"architecture": "hvae", "variant": variant}))) == count


@both
@pytest.mark.parametrize("variant", ["lean", "regular"])
def test_without_context_every_variant_is_the_vanilla_network(architecture: str, variant: str) -> None:
    vanilla = small(architecture, "vanilla", 0, 3)
    other = small(architecture, variant, 0, 3)
    other.load_state_dict(vanilla.state_dict())
    x = image(2, 1, 16, 16)
    predictions = []
    for model in (vanilla, other):
        torch.manual_seed(0)
        predictions.append(model(x))
    assert torch.equal(predictions[0].mean, predictions[1].mean)
    assert [kl.tolist() for kl in predictions[0].kl] == [kl.tolist() for kl in predictions[1].kl]


@both
@shapes
def test_every_parameter_gets_a_gradient(architecture: str, variant: str, lc_depth: int, depth: int) -> None:
    model = small(architecture, variant, lc_depth, depth)
    config = model.config
    prediction = model(image(3, config.context_levels, config.patch_px, config.patch_px))
    total = prediction.mean.sum() + prediction.log_variance.sum() + sum(kl.sum() for kl in prediction.kl)
    total.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@shapes
def test_latents_have_the_size_of_the_paper(variant: str, lc_depth: int, depth: int) -> None:
    model = small("hvae", variant, lc_depth, depth)
    size = model.config.patch_px
    prediction = model(image(1, 1 + lc_depth, size, size))
    kept = 0 if variant == "lean" else lc_depth
    halvings = [max(level - kept, 0) for level in range(1, depth + 1)]
    assert [latent.sample.shape[-1] for latent in prediction.latents] == [size >> count for count in halvings]
    assert [kl.shape for kl in prediction.kl] == [(1,)] * depth
    assert prediction.mean.shape == (1, 2, size, size)


@both
@shapes
def test_encode_and_decode_equal_forward(architecture: str, variant: str, lc_depth: int, depth: int) -> None:
    model = small(architecture, variant, lc_depth, depth).eval()
    x = image(1, 1 + lc_depth, model.config.patch_px, model.config.patch_px)
    for with_kl in (True, False):
        torch.manual_seed(0)
        whole = model(x, with_kl=with_kl)
        torch.manual_seed(0)
        halves = model.decode(model.encode(x), with_kl=with_kl)
        assert torch.equal(whole.mean, halves.mean)
    assert halves.kl == ()


@shapes
def test_other_sizes_are_predicted_without_the_kl(variant: str, lc_depth: int, depth: int) -> None:
    model = small("hvae", variant, lc_depth, depth).eval()
    height, width = 2 * model.config.patch_px, 3 * model.config.patch_px
    x = image(1, 1 + lc_depth, height, width)
    assert model(x, with_kl=False).mean.shape == (1, 2, height, width)
    with pytest.raises(ConfigError, match="with_kl=False"):
        model(x)


def test_context_beyond_the_patch_changes_the_prediction() -> None:
    model = small("hae", "regular", 2, 3).eval()
    x = image(1, 3, 16, 16)
    elsewhere = x.clone()
    elsewhere[:, 2, 0, 0] += 10  # 24 px away from the corner of the patch
    assert not torch.allclose(model(x).mean, model(elsewhere).mean)


def test_samples_differ_in_evaluation_and_follow_the_seed() -> None:
    model = small("hvae", "regular", 1, 2).eval()
    maps = model.encode(image(1, 2, 16, 16))

    def sample(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return model.decode(maps).mean

    assert torch.equal(sample(0), sample(0))
    assert not torch.equal(sample(0), sample(1))


def test_deterministic_twin_has_no_latents_and_no_spread() -> None:
    model = small("hae", "regular", 1, 2).eval()
    x = image(1, 2, 16, 16)
    assert model(x).latents == ()
    assert torch.equal(model(x).mean, model(x).mean)


def test_given_latents_are_used() -> None:
    model = small("hvae", "lean", 1, 2).eval()
    x = image(1, 2, 16, 16)
    drawn = model(x)
    again = model(x, latents=[latent.sample for latent in drawn.latents])
    torch.testing.assert_close(again.mean, drawn.mean)
    torch.testing.assert_close(again.kl, drawn.kl, rtol=1e-4, atol=1e-4)


def test_each_level_may_have_its_own_latent_channels_and_there_may_be_three_structures() -> None:
    model = small("hvae", "regular", 1, 3, latent_channels=(2, 3, 5), structure_channels=3)
    prediction = model(image(2, 2, 16, 16))
    assert [latent.sample.shape[1] for latent in prediction.latents] == [2, 3, 5]
    assert prediction.mean.shape == (2, 3, 16, 16)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_order_changes_nothing(layout: torch.memory_format) -> None:
    model = small("hvae", "regular", 1, 2).eval()
    x = image(2, 2, 16, 16)
    latents = [latent.sample for latent in model(x).latents]
    expected = model(x, latents=latents)
    turned = in_memory_order(model, layout)(x.to(memory_format=layout), latents=latents)
    torch.testing.assert_close(turned.mean, expected.mean)
    torch.testing.assert_close(turned.kl, expected.kl, rtol=1e-4, atol=1e-4)


def test_kl_is_float32_in_mixed_precision() -> None:
    model = small("hvae", "regular", 1, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(image(2, 2, 16, 16))
    assert {kl.dtype for kl in prediction.kl} == {torch.float32}
    assert prediction.mean.dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (1, 2, 18, 16), (2, 16, 16)])
def test_unfit_inputs_are_refused(shape: tuple[int, ...]) -> None:
    model = small("hvae", "lean", 1, 2)
    with pytest.raises(ConfigError, match="does not fit"):
        model(image(*shape))


def test_only_deep_networks_scale_their_posterior() -> None:
    shallow = build(model_config("hvae", "regular", lc_depth=1, depth=4))
    deep = build(model_config("hvae", "deep", lc_depth=1, depth=5))
    scales = [
        [level.posterior_scale for level in model.modules() if isinstance(level, TopDownLevel)]
        for model in (shallow, deep)
    ]
    assert scales[0] == [1.0] * 4
    assert scales[1] == pytest.approx([2**0.5, 2.0, 6**0.5, 8**0.5, 10**0.5])
