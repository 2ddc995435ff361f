"""What is written for speed computes what the plain formula computes, forwards and backwards."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tests.usplit_core.models.networks import image, in_memory_order, network
from tests.usplit_core.trainings import tiny_run
from usplit_core.data.sampling import Batch
from usplit_core.learner import autocast, build_learner, take_step
from usplit_core.models.latent import Gaussian, Latent, gaussian, monte_carlo_kl
from usplit_core.models.layers import Gate, Merge, ResidualBlock, centre_conv, centre_crop, centre_pad, conv3x3
from usplit_core.objective import compute_loss

layouts = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the result and the gradients of its weighted sum."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    result = function(*leaves)
    weights = torch.linspace(-1, 1, result.numel()).reshape(result.shape)
    torch.autograd.backward((result * weights).sum())
    return result.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), rows=st.integers(0, 9), columns=st.integers(0, 9))
def test_a_convolution_of_the_centre_is_the_centre_of_the_convolution(
    height: int, width: int, rows: int, columns: int
) -> None:
    conv, x = conv3x3(2, 3), image(2, 2, height + rows, width + columns)
    torch.testing.assert_close(centre_conv(conv, x, height, width), centre_crop(conv(x), height, width))


@layouts
def test_a_block_of_which_the_centre_is_kept_has_the_statistics_of_the_whole_map(layout: torch.memory_format) -> None:
    block = in_memory_order(ResidualBlock(4, 0.0), layout)
    twin = copy.deepcopy(block)
    x = image(2, 4, 10, 12).contiguous(memory_format=layout)
    ours = gradients(lambda x: block(x, (4, 6)), x)
    whole = gradients(lambda x: centre_crop(twin(x), 4, 6), x)
    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(dict(block.named_buffers()), dict(twin.named_buffers()))
    for own, other in zip(block.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)


@layouts
def test_a_gate_multiplies_elu_and_sigmoid(layout: torch.memory_format) -> None:
    gate = Gate(3)
    in_memory_order(gate, layout)
    x, residual = (3 * image(2, 2, 3, 4, 5)).unbind(0)

    def plain(x: Tensor, residual: Tensor) -> Tensor:
        value, share = gate.conv(residual).chunk(2, dim=1)
        return x + functional.elu(value) * torch.sigmoid(share)

    torch.testing.assert_close(gradients(gate, x, residual), gradients(plain, x, residual))


def test_a_merge_mixes_what_concatenation_would() -> None:
    merge, first, second = Merge(3, 0.0).eval(), image(2, 3, 4, 4), image(2, 3, 8, 8)

    def plain(first: Tensor, second: Tensor) -> Tensor:
        block: Tensor = merge.block(merge.mix(torch.cat((centre_pad(first, 8, 8), second), dim=1)))
        return block

    torch.testing.assert_close(gradients(merge, first, second), gradients(plain, first, second))


def test_a_crop_leaves_its_gradient_in_the_memory_order_of_the_map() -> None:
    x = image(2, 3, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.autograd.backward(centre_crop(x, 2, 4).square().sum())
    assert x.grad is not None
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(x.grad, 2 * centre_pad(centre_crop(x, 2, 4), 6, 6))


@pytest.mark.parametrize("priors", [1, 3])
def test_the_kl_of_a_drawn_latent_has_the_gradients_of_its_formula(priors: int) -> None:
    posterior, prior = gaussian(image(3, 4, 2, 2)), gaussian(image(priors, 4, 2, 2).flip(0))
    noise = image(3, 2, 2, 2)

    def ours(mean: Tensor, variance: Tensor, prior_mean: Tensor, prior_variance: Tensor) -> Tensor:
        sample = mean + variance.sqrt() * noise
        latent = Latent(sample, noise, Gaussian(mean, variance), Gaussian(prior_mean, prior_variance))
        return monte_carlo_kl(latent)

    def formula(mean: Tensor, variance: Tensor, prior_mean: Tensor, prior_variance: Tensor) -> Tensor:
        sample = mean + variance.sqrt() * noise
        surprise = (sample - prior_mean).square() / prior_variance - noise.square()
        return 0.5 * (surprise + (prior_variance / variance).log()).sum(dim=(1, 2, 3))

    torch.testing.assert_close(gradients(ours, *posterior, *prior), gradients(formula, *posterior, *prior))


@pytest.mark.parametrize("variant", ["vanilla", "lean", "regular", "deep"])
def test_the_memory_order_changes_neither_loss_nor_gradients(variant: str) -> None:
    run = tiny_run(model__variant=variant, model__depth=2, model__lc_depth=0 if variant == "vanilla" else 1)
    losses, found = [], []
    for layout in (torch.contiguous_format, torch.channels_last):
        with torch.random.fork_rng():
            module = in_memory_order(build_learner(run, torch.device("cpu")).module, layout).train()
            torch.manual_seed(0)
            prediction = module(image(2, run.model.context_levels, 16, 16))
        loss = compute_loss(prediction, image(2, 2, 16, 16), run)
        torch.autograd.backward(loss.loss)
        losses.append(loss.loss.detach())
        found.append([weight.grad for weight in module.parameters()])
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0)
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


def test_kl_and_likelihood_are_float32_in_bfloat16() -> None:
    run = tiny_run(train__precision="bfloat16")
    with torch.random.fork_rng():
        learned = build_learner(run, torch.device("cpu"))
        batch = Batch(image(2, run.model.context_levels, 16, 16), image(2, 2, 16, 16))
        with autocast(run, learned.device):
            prediction = learned.module(batch.input)
        metrics = take_step(learned, batch, run, epoch=0)
    assert prediction.mean.dtype == torch.float32
    for latent in prediction.latents:
        assert latent.prior is not None
        tensors = (latent.sample, latent.noise, *latent.posterior, *latent.prior)
        assert {tensor.dtype for tensor in tensors if tensor is not None} == {torch.float32}
    loss = compute_loss(prediction, batch.target, run)
    assert {loss.loss.dtype, loss.kl.dtype, loss.reconstruction.dtype} == {torch.float32}
    assert metrics is not None


def test_bfloat16_predicts_what_float32_predicts_but_for_its_rounding() -> None:
    model = network("hvae", "regular", filters=8).eval()
    latents = [latent.sample for latent in model(image(1, 5, 64, 64)).latents]
    with torch.no_grad():
        exact = model(image(1, 5, 64, 64), latents=latents).mean
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(image(1, 5, 64, 64), latents=latents).mean
    assert float((rounded - exact).square().mean().sqrt() / exact.std()) < 0.02
