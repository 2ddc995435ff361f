import math

import pytest
import torch

from tests.usplit_core.models.networks import image
from usplit_core.models.likelihood import GaussianHead, LogVarianceMode, negative_log_likelihood


@pytest.mark.parametrize(("mode", "distinct"), [("global", 2), ("channelwise", 2 * 3), ("pixelwise", 2 * 3 * 8 * 8)])
def test_log_variance_varies_as_its_mode_says(mode: LogVarianceMode, distinct: int) -> None:
    torch.manual_seed(0)
    mean, log_variance = GaussianHead(4, 3, mode, -5.0)(image(2, 4, 8, 8))
    assert log_variance is not None
    assert log_variance.shape == mean.shape == (2, 3, 8, 8)
    assert len(log_variance.unique()) == distinct


def test_without_log_variance_the_loss_is_half_the_squared_error() -> None:
    mean, log_variance = GaussianHead(4, 3, "none", -5.0)(image(2, 4, 8, 8))
    assert log_variance is None
    target = image(2, 3, 8, 8)
    torch.testing.assert_close(negative_log_likelihood(target, mean, None), 0.5 * (target - mean) ** 2)


def test_log_variance_has_a_lower_bound() -> None:
    head = GaussianHead(4, 2, "pixelwise", -5.0)
    _, log_variance = head(1000 * image(1, 4, 8, 8))
    assert log_variance is not None
    assert log_variance.min().item() == -5.0


def test_likelihood_is_that_of_the_normal_distribution() -> None:
    target, mean, log_variance = image(1, 2, 4, 4), image(1, 2, 4, 4) + 1, 0.5 * image(1, 2, 4, 4)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = -normal.log_prob(target)  # type: ignore[no-untyped-call]  # torch does not type it
    torch.testing.assert_close(negative_log_likelihood(target, mean, log_variance), expected)


def test_the_best_guess_costs_the_entropy() -> None:
    target = torch.zeros(1, 1, 1, 1)
    cost = negative_log_likelihood(target, target, torch.zeros(1, 1, 1, 1))
    assert float(cost) == pytest.approx(0.5 * math.log(2 * math.pi))
