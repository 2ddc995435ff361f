"""Blocks that the networks are built of.

Re-derived from docs/method.md, Networks, and "juglab/uSplit usplit/core/nn_submodules.py".
Maps are (B, F, Y, X) with F filters.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv3x3(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    """Return a 3×3 convolution that keeps the size of the map, or divides it by `stride`."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1)


class ResidualBlock(nn.Module):
    """Twice batch norm, ELU, 3×3 convolution, dropout of whole maps; then, if `gated`, a gate; added to its input."""

    def __init__(self, filters: int, dropout: float, *, gated: bool = True) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for _ in range(2))
        self.convs = nn.ModuleList(conv3x3(filters, filters) for _ in range(2))
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.gate = Gate(filters) if gated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # (B, F, Y, X)
        residual = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            # Batch norm keeps its input for the backward pass, not its output: that one may be overwritten.
            residual = self.dropout(conv(functional.elu(norm(residual), inplace=True)))
        output: Tensor = x + self.gate(residual)
        return output


class Gate(nn.Module):
    """ELU(a) · sigmoid(b), where a 1×1 convolution makes a and b."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(filters, 2 * filters, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:  # (B, F, Y, X)
        value, gate = self.conv(x).chunk(2, dim=1)
        return functional.elu(value) * torch.sigmoid(gate)


class Merge(nn.Module):
    """Two maps to one: concatenated, 1×1 convolution, gated residual block."""

    def __init__(self, filters: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * filters, filters, kernel_size=1)
        self.block = ResidualBlock(filters, dropout)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:  # (B, F, Y, X)
        merged: Tensor = self.block(self.mix(torch.cat((first, second), dim=1)))
        return merged


def stem(filters: int, dropout: float, *, kernel_px: int = 3) -> nn.Sequential:
    """Return what lifts a single-channel image to F filters, at the same size."""
    return nn.Sequential(
        nn.Conv2d(1, filters, kernel_px, padding=kernel_px // 2),
        nn.ELU(inplace=True),
        ResidualBlock(filters, dropout, gated=False),
    )


def downsample(filters: int, dropout: float) -> nn.Sequential:
    """Return a strided 3×3 convolution, which halves the map, and a gated residual block."""
    return nn.Sequential(conv3x3(filters, filters, stride=2), ResidualBlock(filters, dropout))


def upsample(filters: int, dropout: float) -> nn.Sequential:
    """Return a transposed 3×3 convolution, which doubles the map, and a gated residual block."""
    doubling = nn.ConvTranspose2d(filters, filters, kernel_size=3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(doubling, ResidualBlock(filters, dropout))


def centre_crop(x: Tensor, height: int, width: int) -> Tensor:
    """Return the central `height` × `width` px of a map (…, Y, X); of an odd remainder, less is cut at the top left."""
    if x.shape[-2:] == (height, width):
        return x
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def without_margin(x: Tensor, margin_px: int) -> Tensor:
    """Return a map (…, Y, X) less `margin_px` on each side."""
    return centre_crop(x, x.shape[-2] - 2 * margin_px, x.shape[-1] - 2 * margin_px)


def centre_pad(x: Tensor, height: int, width: int) -> Tensor:
    """Surround a map (…, Y, X) with zeros to `height` × `width` px; the inverse of `centre_crop`."""
    rows, columns = height - x.shape[-2], width - x.shape[-1]
    return functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
