"""The latent of one level: posterior, prior, sample and their KL divergence.

Source: docs/method.md, Networks and Objective. Z is the number of latent channels.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from usplit_core.models.layers import centre_conv, centre_crop, conv3x3, memory_order

MAX_RAW_LOG_VARIANCE = 20.0
MIN_VARIANCE = 1e-6


class Gaussian(NamedTuple):
    """Independent normal distributions, float32, (B, Z, Y, X) each; B is 1 for the prior of the top level."""

    mean: Tensor
    variance: Tensor


class Latent(NamedTuple):
    """What was drawn at one level.

    Attributes
    ----------
    sample
        z, (B, Z, Y, X).
    noise
        The same sample in standard deviations from the posterior mean; None where z was given, not drawn.
    posterior, prior
        q(z | image, levels above) and p(z | levels above); the prior is None where no KL is asked for.
    """

    sample: Tensor
    noise: Tensor | None
    posterior: Gaussian
    prior: Gaussian | None


def gaussian(parameters: Tensor) -> Gaussian:
    """Read mean and variance from the output (B, 2 Z, Y, X) of a head.

    The variance is exp(x) for x ≤ 0 and 1 + x above, up to x = 20, so that it cannot overflow; and never below 1e-6.
    Both are float32 whatever the precision of the head: in bfloat16 the KL is off by several percent.
    """
    mean, variance = _ReadGaussian.apply(parameters)  # type: ignore[no-untyped-call]  # torch does not type it
    return Gaussian(mean, variance)


class _ReadGaussian(torch.autograd.Function):
    """`gaussian`, with a backward pass of its own: latents are large, and this one reads and writes them least."""

    @staticmethod
    def forward(ctx: Any, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = parameters.chunk(2, dim=1)  # (B, Z, Y, X)
        raw = raw.float()
        # elu(x) + 1 would be one pass less, but loses the digits of a small variance.
        variance = raw.clamp(max=0).exp_().add_(raw.clamp(min=0, max=MAX_RAW_LOG_VARIANCE)).add_(MIN_VARIANCE)
        ctx.save_for_backward(variance)
        ctx.dtype, ctx.order = parameters.dtype, memory_order(parameters)
        return mean.to(torch.float32, copy=True), variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (variance,) = ctx.saved_tensors
        # d variance / d x is exp(x) below 0, 1 above and 0 where x was too large.
        slope = (variance - MIN_VARIANCE).clamp_(max=1).masked_fill_(variance >= 1 + MAX_RAW_LOG_VARIANCE, 0)
        batch, channels, height, width = variance.shape
        shape = (batch, 2 * channels, height, width)
        gradient = torch.empty(shape, dtype=ctx.dtype, device=variance.device, memory_format=ctx.order)
        of_mean, of_raw = gradient.chunk(2, dim=1)
        of_mean.copy_(gradients[0])
        of_raw.copy_(slope.mul_(gradients[1]))
        return gradient


def monte_carlo_kl(latent: Latent) -> Tensor:
    """Return log q(z) - log p(z) at the sample, (B,), summed over Z, Y, X, in nats.

    Raises
    ------
    ValueError
        If the latent has no prior.
    """
    posterior, prior = latent.posterior, _prior(latent)
    if latent.noise is None:
        surprise = (latent.sample - prior.mean).square() / prior.variance
        surprise = surprise - (latent.sample - posterior.mean).square() / posterior.variance
        return 0.5 * (surprise + (prior.variance / posterior.variance).log()).sum(dim=(1, 2, 3))
    kl: Tensor = _DrawnKL.apply(latent.sample, latent.noise, posterior.variance, *prior)  # type: ignore[no-untyped-call]
    return kl


class _DrawnKL(torch.autograd.Function):
    """`monte_carlo_kl` of a latent that was drawn: its distance from the posterior mean is the noise.

    Keeps nothing for the backward pass that is not kept anyway. On the CPU it goes image by image, so that
    what is computed in between stays in the cache.
    """

    @staticmethod
    def forward(
        ctx: Any, sample: Tensor, noise: Tensor, variance: Tensor, prior_mean: Tensor, prior_variance: Tensor
    ) -> Tensor:
        ctx.save_for_backward(sample, variance, prior_mean, prior_variance)
        kl = sample.new_empty(len(sample))
        for part in _parts(sample):
            mean, expected = _part(prior_mean, part), _part(prior_variance, part)
            surprise = (sample[part] - mean).square_().div_(expected).addcmul_(noise[part], noise[part], value=-1)
            # The difference of the terms is summed, not their sums: they are far larger than what is left of them.
            kl[part] = 0.5 * surprise.add_((expected / variance[part]).log_()).sum(dim=(1, 2, 3))
        return kl

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sample, variance, prior_mean, prior_variance = ctx.saved_tensors
        of_sample, of_variance = torch.empty_like(sample), torch.empty_like(variance)
        new = torch.zeros_like if len(prior_mean) == 1 else torch.empty_like
        of_mean, of_expected = new(prior_mean), new(prior_variance)
        for part in _parts(sample):
            mean, expected = _part(prior_mean, part), _part(prior_variance, part)
            scale = gradient[part, None, None, None]
            distance = torch.sub(sample[part], mean, out=of_sample[part]).div_(expected)
            curvature = expected.reciprocal().sub(distance.square()).mul_(0.5 * scale)
            _put(of_expected, part, curvature)
            _put(of_mean, part, distance.mul_(scale).neg())
            torch.div(-0.5 * scale, variance[part], out=of_variance[part])
        return of_sample, None, of_variance, of_mean, of_expected


def _parts(images: Tensor) -> list[slice]:
    """Return which images (B, ...) to compute at once: a GPU wants all, the cache of a CPU holds one."""
    at_once = 1 if images.device.type == "cpu" else len(images)
    return [slice(start, start + at_once) for start in range(0, len(images), at_once)]


def _part(prior: Tensor, part: slice) -> Tensor:
    """Return the prior of some images; that of the top level is one for all."""
    return prior if len(prior) == 1 else prior[part]


def _put(total: Tensor, part: slice, gradient: Tensor) -> None:
    """Store the gradient of the prior of some images; that of a prior for all is the sum over images."""
    if len(total) == 1:
        total.add_(gradient.sum(dim=0, keepdim=True))
    else:
        total[part] = gradient


class _Draw(torch.autograd.Function):
    """mean + √variance · noise, which keeps no tensor for the backward pass that is not kept anyway."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
        ctx.save_for_backward(variance, noise)
        return variance.sqrt().mul_(noise).add_(mean)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        variance, noise = ctx.saved_tensors
        return gradient, variance.rsqrt().mul_(noise).mul_(gradient).mul_(0.5), None


def analytical_kl(latent: Latent) -> Tensor:
    """Return KL(q ‖ p), (B,), summed over Z, Y, X, in nats; the expectation of `monte_carlo_kl` over samples.

    Raises
    ------
    ValueError
        If the latent has no prior.
    """
    posterior, prior = latent.posterior, _prior(latent)
    distance = ((posterior.mean - prior.mean).square() + posterior.variance) / prior.variance
    return 0.5 * (distance + (prior.variance / posterior.variance).log() - 1).sum(dim=(1, 2, 3))


def _prior(latent: Latent) -> Gaussian:
    if latent.prior is None:
        raise ValueError("this latent was decoded with with_kl=False and has no prior")
    return latent.prior


class LatentSize(NamedTuple):
    """Along Y and X, what a level computes of latent and output, and for which window of its maps noise is drawn."""

    drawn: tuple[int, int]
    latent: tuple[int, int]
    output: tuple[int, int]


def _whole(features: Tensor) -> LatentSize:
    return LatentSize(*[(features.shape[-2], features.shape[-1])] * 3)


class StochasticLatent(nn.Module):
    """z of one level: drawn from the posterior, or given.

    Parameters
    ----------
    filters, latent_channels
        F and Z.
    top_prior_px
        Side of the learned prior of the top level, (1, 2 Z, side, side), zero at first; None below the
        top, where a convolution reads the prior from the level above.
    """

    def __init__(self, filters: int, latent_channels: int, *, top_prior_px: int | None) -> None:
        super().__init__()
        self.posterior_head = conv3x3(filters, 2 * latent_channels)
        if top_prior_px is None:
            self.prior_head = conv3x3(filters, 2 * latent_channels)
        else:
            self.top_prior = nn.Parameter(torch.zeros(1, 2 * latent_channels, top_prior_px, top_prior_px))
        self.output = conv3x3(latent_channels, filters)

    def forward(
        self,
        features: Tensor,
        above: Tensor | None,
        *,
        given: Tensor | None,
        with_kl: bool,
        size: LatentSize | None = None,
    ) -> tuple[Tensor, Latent]:
        """Return the output map (B, F, Y, X) of the size asked for, and the latent.

        Parameters
        ----------
        features
            What the posterior is read from, (B, F, Y, X).
        above
            Output of the level above, (B, F, Y, X); None at the top.
        given
            A latent to use in place of a sample, (B, Z, Y, X).
        with_kl
            Whether to compute the prior.
        size
            What to compute; None = everything.
        """
        size = _whole(features) if size is None else size
        parameters = centre_conv(self.posterior_head, features, *size.latent)  # (B, 2 Z, Y, X)
        posterior = gaussian(parameters)
        prior = gaussian(self._prior(parameters, above)) if with_kl else None
        if given is not None:
            sample, noise = centre_crop(given, *size.latent), None
        else:
            noise = centre_crop(_noise_like(parameters, size.drawn), *size.latent)  # (B, Z, Y, X)
            sample = _Draw.apply(*posterior, noise)  # type: ignore[no-untyped-call]  # torch does not type it
        return centre_conv(self.output, sample, *size.output), Latent(sample, noise, posterior, prior)

    def _prior(self, parameters: Tensor, above: Tensor | None) -> Tensor:
        """Return the parameters of the prior in the memory order of those of the posterior."""
        if above is not None:
            prior: Tensor = self.prior_head(above)
            return prior
        return self.top_prior.contiguous(memory_format=memory_order(parameters))


def _noise_like(parameters: Tensor, size: tuple[int, int]) -> Tensor:
    """Return standard normal noise of that size (B, Z, Y, X), float32, in the memory order of the parameters."""
    batch, channels = parameters.shape[:2]
    height, width = size
    order = memory_order(parameters)
    if order == torch.contiguous_format or parameters.dtype == torch.float32:
        # In full precision the memory order is a matter of speed only: a sample has the same noise in each.
        return torch.randn((batch, channels // 2, height, width), device=parameters.device).contiguous(
            memory_format=order
        )
    # Drawing into a tensor of another order is several times slower than drawing and then turning it.
    noise = torch.randn((batch, height, width, channels // 2), device=parameters.device)
    return noise.permute(0, 3, 1, 2)


class DeterministicLatent(nn.Module):
    """z of one level of the deterministic twin: the mean of the posterior, no variance and no prior."""

    def __init__(self, filters: int, latent_channels: int) -> None:
        super().__init__()
        self.posterior_head = conv3x3(filters, latent_channels)
        self.output = conv3x3(latent_channels, filters)

    def forward(
        self,
        features: Tensor,
        above: Tensor | None,
        *,
        given: Tensor | None,
        with_kl: bool,
        size: LatentSize | None = None,
    ) -> tuple[Tensor, None]:
        """Return the output map (B, F, Y, X); arguments as in `StochasticLatent`."""
        size = _whole(features) if size is None else size
        sample = centre_conv(self.posterior_head, features, *size.latent) if given is None else given  # (B, Z, Y, X)
        return centre_conv(self.output, centre_crop(sample, *size.latent), *size.output), None
