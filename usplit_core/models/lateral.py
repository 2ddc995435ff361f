"""Lateral context: how a low-resolution input enters a network.

Source: docs/method.md, Lateral context and Networks. Level l shows the surroundings of the primary
patch at 1 / 2^l of its resolution, in equally many pixels; so after l halvings the primary map covers
the centre of the context map, pixel by pixel.
"""

from torch import Tensor, nn

from usplit_core.models.layers import Merge, Stem


def context_stem(filters: int, dropout: float) -> Stem:
    """Return what lifts one context input (B, 1, Y, X) to F filters; its kernel is 5 px, that of the patch 3 px."""
    return Stem(filters, dropout, kernel_px=5)


class LateralMerge(nn.Module):
    """Primary map and context map to one map, of the size of the context."""

    def __init__(self, filters: int, dropout: float) -> None:
        super().__init__()
        self.merge = Merge(filters, dropout)

    def forward(self, primary: Tensor, context: Tensor, kept: tuple[int, int] | None = None) -> Tensor:
        """Surround `primary` (B, F, Y / 2, X / 2) with zeros and merge it with `context` (B, F, Y, X).

        Returns a map of the size of `context`, or its central `kept` px.
        """
        merged: Tensor = self.merge(primary, context, kept)  # (B, F, Y, X)
        return merged
