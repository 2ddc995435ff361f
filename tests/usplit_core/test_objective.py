import pytest
import torch
from torch import Tensor

from tests.usplit_core.models.networks import image
from usplit_core.config import RunConfig
from usplit_core.errors import ConfigError
from usplit_core.models import Prediction, build
from usplit_core.models.latent import Gaussian, Latent
from usplit_core.models.noise_model import NoiseModel
from usplit_core.objective import compute_loss, kl_weight
from usplit_core.settings import resolve


def run_config(architecture: str = "hvae", *, log_variance: str = "pixelwise", **objective: object) -> RunConfig:
    settings = {f"objective.{name}": value for name, value in objective.items()}
    model = {"model.architecture": architecture, "model.log_variance": log_variance}
    return resolve({"data.path": "none.tif", **model, **settings})


def latent(size_px: int, mean: Tensor) -> Latent:
    """Return a latent of 3 channels whose analytical KL is 0.5 mean² a value, the posterior mean drawn."""
    shape = (len(mean), 3, size_px, size_px)
    posterior = Gaussian(mean.reshape(-1, 1, 1, 1).expand(shape), torch.ones(shape))
    return Latent(posterior.mean, torch.zeros(shape), posterior, Gaussian(torch.zeros(shape), torch.ones(shape)))


def prediction(*latents: Latent) -> Prediction:
    return Prediction(torch.zeros(2, 2, 8, 8), torch.zeros(2, 2, 8, 8), latents)


LEVELS = (latent(4, torch.tensor([2.0, 0.0])), latent(2, torch.tensor([4.0, 2.0])))
#: 0.5 mean² of each level and image.
A_VALUE = torch.tensor([[2.0, 0.0], [8.0, 2.0]])
VALUES = torch.tensor([3 * 4 * 4, 3 * 2 * 2])
TARGET = image(2, 2, 8, 8)


def test_loss_is_reconstruction_and_weighted_kl() -> None:
    loss = compute_loss(prediction(*LEVELS), TARGET, run_config(kl_weight=0.25))
    assert loss.reconstruction.shape == (2,)
    assert loss.loss.item() == pytest.approx((loss.reconstruction.mean() + 0.25 * loss.kl).item())


@pytest.mark.parametrize("estimate", ["monte_carlo", "analytical"])
def test_kl_per_level_is_a_mean_over_latent_values_and_levels(estimate: str) -> None:
    # The sample is the posterior mean, where the one-sample estimate equals the analytical KL of this latent.
    loss = compute_loss(prediction(*LEVELS), TARGET, run_config(kl_estimate=estimate))
    torch.testing.assert_close(loss.kl_per_level, A_VALUE.mean(dim=1))
    assert loss.kl.item() == pytest.approx(A_VALUE.mean().item())


def test_image_normalisation_is_a_sum_over_levels_a_pixel() -> None:
    loss = compute_loss(prediction(*LEVELS), TARGET, run_config(kl_normalisation="image"))
    expected = (A_VALUE * VALUES[:, None]).mean(dim=1) / 64
    torch.testing.assert_close(loss.kl_per_level, expected)
    assert loss.kl.item() == pytest.approx(expected.sum().item())


def test_free_bits_hold_for_each_level_and_image() -> None:
    loss = compute_loss(prediction(*LEVELS), TARGET, run_config(free_bits=2.5))
    assert loss.kl.item() == pytest.approx((2.5 + 2.5 + 8 + 2.5) / 4)
    torch.testing.assert_close(loss.kl_per_level, A_VALUE.mean(dim=1))
    loss = compute_loss(prediction(*LEVELS), TARGET, run_config(free_bits=50, kl_normalisation="image"))
    assert loss.kl.item() == pytest.approx(((96 + 50) / 2 + (96 + 50) / 2) / 64)


def test_noise_model_replaces_the_gaussian() -> None:
    config = run_config(log_variance="none", likelihood="noise_model", noise_model_path="noise.safetensors")
    zeros = torch.zeros(2, 1, 1)
    model = NoiseModel(zeros, zeros, zeros, low=-torch.ones(2), high=torch.zeros(2))  # deviation 1: range 1, exp(0)
    loss = compute_loss(prediction(), TARGET, config, noise_model=model)
    gaussian = compute_loss(prediction(), TARGET, run_config())
    torch.testing.assert_close(loss.reconstruction, gaussian.reconstruction, rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigError, match="needs a noise model"):
        compute_loss(prediction(), TARGET, config)


def test_annealing_raises_the_weight_linearly() -> None:
    objective = run_config(kl_weight=2.0, kl_annealing_epochs=4).objective
    assert [kl_weight(objective, epoch) for epoch in (0, 1, 4, 9)] == [0.0, 0.5, 2.0, 2.0]
    assert kl_weight(run_config(kl_weight=2.0).objective, 0) == 2.0


def test_without_latents_the_kl_is_zero() -> None:
    loss = compute_loss(prediction(), TARGET, run_config())
    assert loss.kl.item() == 0
    assert loss.kl_per_level.shape == (0,)
    assert loss.loss.item() == pytest.approx(loss.reconstruction.mean().item())


@pytest.mark.parametrize("architecture", ["unet", "bravenet"])
def test_other_networks_minimise_the_squared_error(architecture: str) -> None:
    loss = compute_loss(Prediction(torch.zeros(2, 2, 8, 8)), TARGET, run_config(architecture))
    torch.testing.assert_close(loss.reconstruction, TARGET.square().mean(dim=(0, 2, 3)))
    assert loss.loss.item() == pytest.approx(TARGET.square().mean().item())


def test_auxiliary_heads_count_as_much_as_the_prediction() -> None:
    mean = torch.zeros(2, 2, 8, 8)
    loss = compute_loss(Prediction(mean, auxiliary=(mean + 1, mean - 1)), TARGET, run_config("bravenet"))
    heads = ((TARGET - 1).square().mean() + (TARGET + 1).square().mean()) / 2
    assert loss.loss.item() == pytest.approx(((TARGET.square().mean() + heads) / 2).item())


@pytest.mark.parametrize(
    ("architecture", "variant"),
    [("hvae", "vanilla"), ("hvae", "lean"), ("hvae", "regular"), ("hae", "regular"), ("unet", "regular")],
)
def test_a_batch_can_be_learnt_by_heart(architecture: str, variant: str) -> None:
    lc_depth = 0 if variant == "vanilla" else 1
    sizes = {"lc_depth": lc_depth, "patch_px": 16, "depth": 2, "filters": 8, "latent_channels": 4, "dropout": 0.0}
    config = resolve({
        "data.path": "none.tif",
        "model.architecture": architecture,
        "model.variant": variant,
        "tiling.padding_px": 0,
        **{f"model.{name}": value for name, value in sizes.items()},
    })  # fmt: skip
    torch.manual_seed(0)
    model = build(config.model)
    inputs = image(4, 1 + lc_depth, 4, 4).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    target = torch.cat([inputs[:, :1], -inputs[:, :1]], dim=1)
    optimiser = torch.optim.Adamax(model.parameters(), lr=3e-2)
    losses = []
    for _ in range(40):
        loss = compute_loss(model(inputs), target, config)
        optimiser.zero_grad()
        torch.autograd.backward(loss.loss)
        optimiser.step()
        losses.append(loss.reconstruction.mean().item())
    assert losses[-1] < losses[0] - 0.5
