"""Blocks that the networks are built of.

Re-derived from docs/method.md, Networks, and "juglab/uSplit usplit/core/nn_submodules.py".
Maps are (B, F, Y, X) with F filters.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from usplit_core.models.activation import elu


def conv3x3(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    """Return a 3×3 convolution that keeps the size of the map, or divides it by `stride`."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1)


def centre_conv(conv: nn.Conv2d, x: Tensor, height: int, width: int) -> Tensor:
    """Return the central `height` × `width` px of what a convolution makes of a map, without computing the rest.

    The convolution keeps the size of the map. Nothing but `seen_by` of the map is looked at.
    """
    rim_px = conv.kernel_size[0] - 1
    rows, columns = seen_by((height, width), x, rim_px)
    # What is kept inside the map sees a rim of real pixels where the whole map is padded with zeros.
    padding = [rim_px // 2 * (kept + rim_px > size) for kept, size in zip((height, width), x.shape[-2:], strict=True)]
    kept: Tensor = functional.conv2d(centre_crop(x, rows, columns), conv.weight, conv.bias, padding=padding)
    return centre_crop(kept, height, width)


def seen_by(kept: tuple[int, int], x: Tensor, rim_px: int) -> tuple[int, int]:
    """Return how much of a map `kept` px of a result depend on, if convolutions carry `rim_px` inwards in all."""
    height, width = (min(size, px + rim_px) for size, px in zip(x.shape[-2:], kept, strict=True))
    return height, width


class ResidualBlock(nn.Module):
    """Twice batch norm, ELU, 3×3 convolution, dropout of whole maps; then, if `gated`, a gate; added to its input."""

    #: Pixels on both sides together by which a result depends on more of the input than itself.
    rim_px = 4

    def __init__(self, filters: int, dropout: float, *, gated: bool = True) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for _ in range(2))
        self.convs = nn.ModuleList(conv3x3(filters, filters) for _ in range(2))
        # In place: a convolution needs its input for the backward pass, not its output.
        self.dropout = nn.Dropout2d(dropout, inplace=True) if dropout else nn.Identity()
        self.gate = Gate(filters) if gated else None

    def forward(self, x: Tensor, kept: tuple[int, int] | None = None) -> Tensor:
        """Return the map (B, F, Y, X), or its central `kept` px along Y and X, without computing what these need not.

        In training batch norm takes its statistics from the whole map: only what follows the last one is left out.
        """
        whole = (x.shape[-2], x.shape[-1])
        height, width = whole if kept is None else kept
        inner = whole if self.training else seen_by((height, width), x, 2)
        first, second = (cast(nn.Conv2d, conv) for conv in self.convs)
        activated = self._activate(0, centre_crop(x, *seen_by(inner, x, 2)))
        residual = self.dropout(centre_conv(first, activated, *inner))
        residual = self.dropout(centre_conv(second, self._activate(1, residual), height, width))
        x = centre_crop(x, height, width)
        output: Tensor = x + residual if self.gate is None else self.gate(x, residual)
        return output

    def _activate(self, index: int, x: Tensor) -> Tensor:
        # Batch norm keeps its input for the backward pass, not its output: that one may be overwritten.
        return elu(self.norms[index](x))


class Gate(nn.Module):
    """x + ELU(a) · sigmoid(b), where a 1×1 convolution of the residual makes a and b."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(filters, 2 * filters, kernel_size=1)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:  # (B, F, Y, X) each
        gated: Tensor = _AddGated.apply(x, self.conv(residual))  # type: ignore[no-untyped-call]  # torch does not type it
        return gated


class _AddGated(torch.autograd.Function):
    """x + ELU(a) · sigmoid(b), which keeps a and b alone for the backward pass: a fifth less memory in training."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, parameters: Tensor) -> Tensor:
        value, gate = parameters.chunk(2, dim=1)  # (B, F, Y, X)
        ctx.save_for_backward(parameters)
        return torch.addcmul(x, functional.elu(value), torch.sigmoid(gate))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (parameters,) = ctx.saved_tensors
        value, gate = parameters.chunk(2, dim=1)
        of_parameters = torch.empty_like(parameters)
        of_value, of_gate = of_parameters.chunk(2, dim=1)
        activated, share = functional.elu(value), torch.sigmoid(gate)
        shared = gradient * share
        # The slope of ELU is exp(a) = ELU(a) + 1 below zero and 1 above; that of the sigmoid s is s · (1 - s).
        torch.addcmul(shared, shared, activated.clamp(max=0), out=of_value)
        torch.addcmul(shared.mul_(activated), shared, share, value=-1, out=of_gate)
        return gradient, of_parameters


class Merge(nn.Module):
    """Two maps to one: concatenated, 1×1 convolution, gated residual block.

    A 1×1 convolution of two maps is the sum of one of each, so they need not be copied into one.
    """

    def __init__(self, filters: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * filters, filters, kernel_size=1)
        self.block = ResidualBlock(filters, dropout)

    def forward(self, first: Tensor, second: Tensor, kept: tuple[int, int] | None = None) -> Tensor:
        """Return the merged map (B, F, Y, X), or its central `kept` px; a smaller `first` is surrounded with zeros."""
        if kept is not None and not self.training:
            height, width = seen_by(kept, second, ResidualBlock.rim_px)
            first, second = _centre_up_to(first, height, width), centre_crop(second, height, width)
        filters = first.shape[1]
        mixed = functional.conv2d(second, self.mix.weight[:, filters:], self.mix.bias)
        of_first = functional.conv2d(first, self.mix.weight[:, :filters])
        merged: Tensor = self.block(mixed.add_(centre_pad(of_first, *second.shape[-2:])), kept)
        return merged


class Stem(nn.Sequential):
    """Lifts a single-channel image to F filters, at the same size."""

    def __init__(self, filters: int, dropout: float, *, kernel_px: int = 3) -> None:
        super().__init__(
            nn.Conv2d(1, filters, kernel_px, padding=kernel_px // 2),
            nn.ELU(),
            ResidualBlock(filters, dropout, gated=False),
        )

    @property
    def reach_px(self) -> int:
        """Pixels, on each side, by which a result depends on more of the image than itself."""
        kernel_px = cast(nn.Conv2d, self[0]).kernel_size[0]
        return (kernel_px - 1 + ResidualBlock.rim_px) // 2

    def forward(self, image: Tensor, kept: tuple[int, int] | None = None) -> Tensor:
        """Return the map (B, F, Y, X), or its central `kept` px."""
        conv, _, block = self
        if kept is None or self.training:
            lifted = conv(image)
        else:
            lifted = centre_conv(cast(nn.Conv2d, conv), image, *seen_by(kept, image, ResidualBlock.rim_px))
        result: Tensor = block(elu(lifted), kept)
        return result


def downsample(filters: int, dropout: float) -> nn.Sequential:
    """Return a strided 3×3 convolution, which halves the map, and a gated residual block."""
    return nn.Sequential(conv3x3(filters, filters, stride=2), ResidualBlock(filters, dropout))


class Upsample(nn.Sequential):
    """A transposed 3×3 convolution, which doubles the map, and a gated residual block."""

    def __init__(self, filters: int, dropout: float) -> None:
        doubling = nn.ConvTranspose2d(filters, filters, kernel_size=3, stride=2, padding=1, output_padding=1)
        super().__init__(doubling, ResidualBlock(filters, dropout))

    def forward(self, x: Tensor, kept: tuple[int, int] | None = None) -> Tensor:
        """Return the doubled map (B, F, 2 Y, 2 X), or its central `kept` px."""
        doubling, block = self
        result: Tensor = block(doubling(x), kept)
        return result


def centre_crop(x: Tensor, height: int, width: int) -> Tensor:
    """Return the central `height` × `width` px of a map (…, Y, X); of an odd remainder, less is cut at the top left."""
    if x.shape[-2:] == (height, width):
        return x
    cropped: Tensor = _Crop.apply(x, height, width)  # type: ignore[no-untyped-call]  # torch does not type it
    return cropped


class _Crop(torch.autograd.Function):
    """`centre_crop`, whose gradient has the memory order of the map: torch's own is slow for all that follows it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int, width: int) -> Tensor:
        ctx.shape, ctx.order = x.shape, memory_order(x)
        return _centre(x, height, width)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        whole = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=ctx.order).zero_()
        _centre(whole, *gradient.shape[-2:]).copy_(gradient)
        return whole, None, None


def memory_order(x: Tensor) -> torch.memory_format:
    """Return the memory order of maps (B, F, Y, X), or of what they are a window of."""
    return torch.channels_last if x.ndim == 4 and x.stride(1) == 1 else torch.contiguous_format


def _centre(x: Tensor, height: int, width: int) -> Tensor:
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def _centre_up_to(x: Tensor, height: int, width: int) -> Tensor:
    return centre_crop(x, min(height, x.shape[-2]), min(width, x.shape[-1]))


def without_margin(x: Tensor, margin_px: int) -> Tensor:
    """Return a map (…, Y, X) less `margin_px` on each side."""
    return centre_crop(x, x.shape[-2] - 2 * margin_px, x.shape[-1] - 2 * margin_px)


def centre_pad(x: Tensor, height: int, width: int) -> Tensor:
    """Surround a map (…, Y, X) with zeros to `height` × `width` px; the inverse of `centre_crop`."""
    if x.shape[-2:] == (height, width):
        return x
    rows, columns = height - x.shape[-2], width - x.shape[-1]
    return functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
