import math

import pytest
import torch

from tests.usplit_core.models.networks import in_memory_order
from usplit_core.models.latent import Gaussian, Latent, StochasticLatent, analytical_kl, gaussian, monte_carlo_kl


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def draw(posterior: Gaussian, prior: Gaussian, seed: int = 0) -> Latent:
    noise = normal(seed, *posterior.mean.shape)
    return Latent(posterior.mean + posterior.variance.sqrt() * noise, noise, posterior, prior)


def test_variance_is_exponential_below_zero_and_linear_above() -> None:
    raw = torch.tensor([-30.0, -2.0, 0.0, 3.0, 1000.0])
    parameters = torch.stack([torch.zeros(5), raw]).reshape(1, 2, 1, 5)
    variance = gaussian(parameters).variance.flatten()
    expected = torch.tensor([1e-6, math.exp(-2), 1.0, 4.0, 21.0])
    torch.testing.assert_close(variance, expected, rtol=1e-5, atol=1e-7)


def test_gradients_are_those_of_the_formula() -> None:
    parameters = 3 * normal(0, 2, 8, 3, 3)
    parameters[0, 4:] *= 10
    parameters[1, 5] = 0
    ours, theirs = (parameters.clone().requires_grad_() for _ in range(2))
    mean, raw = theirs.chunk(2, dim=1)
    capped = raw.clamp(max=20)
    formula = Gaussian(mean, torch.where(capped > 0, capped + 1, capped.exp()) + 1e-6)
    for side in (gaussian(ours), formula):
        torch.autograd.backward((normal(1, *side.mean.shape) * side.mean + side.variance.square()).sum())
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_small_variances_keep_their_digits() -> None:
    raw = torch.linspace(-20, -5, 50)
    variance = gaussian(torch.stack([raw, raw]).reshape(1, 2, 1, 50)).variance.flatten()
    torch.testing.assert_close(variance.double(), raw.double().exp() + 1e-6, rtol=1e-6, atol=0)


def test_kl_agrees_with_torch_distributions() -> None:
    posterior, prior = gaussian(normal(1, 2, 6, 4, 4)), gaussian(normal(2, 2, 6, 4, 4))
    latent = draw(posterior, prior)
    q, p = (torch.distributions.Normal(side.mean, side.variance.sqrt()) for side in (posterior, prior))
    difference = q.log_prob(latent.sample) - p.log_prob(latent.sample)  # type: ignore[no-untyped-call]  # torch does not type it
    one_sample = difference.sum(dim=(1, 2, 3))
    torch.testing.assert_close(monte_carlo_kl(latent), one_sample, rtol=1e-5, atol=1e-4)
    exact = torch.distributions.kl_divergence(q, p).sum(dim=(1, 2, 3))
    torch.testing.assert_close(analytical_kl(latent), exact, rtol=1e-5, atol=1e-4)


def test_monte_carlo_kl_averages_to_the_analytical() -> None:
    posterior, prior = gaussian(normal(1, 1, 2, 1, 1)), gaussian(normal(2, 1, 2, 1, 1))
    many = Gaussian(*(side.expand(20000, 1, 1, 1) for side in posterior))
    estimate = monte_carlo_kl(draw(many, prior))
    error = float(estimate.std()) / math.sqrt(20000)
    assert float(estimate.mean()) == pytest.approx(float(analytical_kl(draw(posterior, prior))), abs=4 * error)


def test_kl_of_equal_distributions_is_zero() -> None:
    side = gaussian(normal(1, 3, 4, 2, 2))
    assert analytical_kl(draw(side, side)).tolist() == pytest.approx([0.0] * 3, abs=1e-5)


def test_kl_without_a_prior_is_refused() -> None:
    side = gaussian(normal(1, 1, 2, 2, 2))
    with pytest.raises(ValueError, match="no prior"):
        monte_carlo_kl(Latent(side.mean, None, side, None))


def test_a_given_latent_has_the_kl_of_a_drawn_one() -> None:
    drawn = draw(gaussian(normal(1, 1, 4, 3, 3)), gaussian(normal(2, 1, 4, 3, 3)))
    torch.testing.assert_close(monte_carlo_kl(drawn._replace(noise=None)), monte_carlo_kl(drawn))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_samples_have_the_moments_of_the_posterior(layout: torch.memory_format) -> None:
    layer = in_memory_order(StochasticLatent(2, 3, top_prior_px=None), layout)
    features = normal(0, 1, 2, 4, 4).expand(4000, 2, 4, 4).contiguous(memory_format=layout)
    torch.manual_seed(0)
    with torch.no_grad():
        _, latent = layer(features, None, given=None, with_kl=False)
    torch.testing.assert_close(latent.sample.mean(0), latent.posterior.mean[0], rtol=0, atol=0.1)
    torch.testing.assert_close(latent.sample.var(0), latent.posterior.variance[0], rtol=0.15, atol=0)
