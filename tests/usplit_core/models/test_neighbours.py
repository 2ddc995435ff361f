"""Stems that neighbours share make the same maps, for less work."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tests.usplit_core.models.networks import image, in_memory_order, network
from usplit_core.models.layers import Stem
from usplit_core.models.neighbours import InputRow, lift

SIZE = 48


def windows(row: Tensor, columns: Sequence[int], size: int = SIZE) -> Tensor:
    """Return windows (T, 1, Y, size) of a row of a frame (1, 1, Y, X)."""
    return torch.cat([row[..., column : column + size] for column in columns])


def stem(kernel_px: int) -> Stem:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Stem(4, 0.0, kernel_px=kernel_px)
        for norm in (module for module in made.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            torch.nn.init.normal_(norm.bias)  # a map of zeros must not stay one
    return made.eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("kernel_px", [3, 5])
@pytest.mark.parametrize("kept", [None, (SIZE, SIZE), (44, 43), (20, 30), (30, 11)])
@pytest.mark.parametrize("columns", [(0, 8, 16, 24), (3, 4, 4, 13), (0,), (0, 48, 90), (0, 60, 70)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_neighbours_have_the_maps_that_they_have_alone(
    kernel_px: int, kept: tuple[int, int] | None, columns: tuple[int, ...], order: torch.memory_format
) -> None:
    one = stem(kernel_px)
    in_memory_order(one, order)
    inputs = windows(image(1, 1, SIZE, 160), columns)

    shared = lift(one, inputs, level=0, rows=[InputRow(0, len(columns), (columns,))], kept=kept)

    torch.testing.assert_close(shared, one(inputs, kept), rtol=0, atol=1e-5)


def test_rows_do_not_mix() -> None:
    one, first, second = stem(3), image(1, 1, SIZE, 80), -2 * image(1, 1, SIZE, 80)
    inputs = torch.cat([windows(first, (0, 16, 32)), windows(second, (4, 8))])
    rows = [InputRow(0, 3, ((), (0, 16, 32))), InputRow(3, 5, ((), (4, 8)))]

    torch.testing.assert_close(lift(one, inputs, level=1, rows=rows), one(inputs), rtol=0, atol=1e-5)


def test_what_neighbours_share_is_computed_once() -> None:
    one, columns = stem(3), tuple(range(0, 64, 4))
    inputs = windows(image(1, 1, SIZE, 160), columns)
    with FlopCounterMode(display=False) as alone:
        one(inputs)
    with FlopCounterMode(display=False) as shared:
        lift(one, inputs, level=0, rows=[InputRow(0, len(columns), (columns,))])
    # A row of 108 px and twice 6 px a tile, in place of 48 px a tile; at their sides 2 · 16 · 6 = 192.
    assert shared.get_total_flops() / alone.get_total_flops() == pytest.approx((108 + 192) / (16 * SIZE), rel=0.01)


@pytest.mark.parametrize(
    ("architecture", "variant", "lc_depth", "depth"),
    [("hae", "vanilla", 0, 3), ("hae", "lean", 2, 3), ("hae", "regular", 2, 2), ("hae", "deep", 1, 3),
     ("unet", "regular", 2, 3), ("bravenet", "regular", 1, 3)],
)  # fmt: skip
@pytest.mark.parametrize("margin", [0, 16])
def test_networks_predict_the_same(architecture: str, variant: str, lc_depth: int, depth: int, margin: int) -> None:
    model = network(architecture, variant, lc_depth=lc_depth, depth=depth, patch_px=64).eval()
    columns = [[0, 32, 64, 70], [5, 21, 37, 40], [0, 8, 16, 18]][: 1 + lc_depth]
    frames = image(1 + lc_depth, 64, 160)
    levels = [windows(frame[None, None], at, 64) for frame, at in zip(frames, columns, strict=True)]
    inputs = torch.cat(levels, dim=1)  # (T, L, Y, X)
    row = InputRow(0, 4, tuple(tuple(at) for at in columns))
    with torch.inference_mode():
        alone, together = (
            model.decode(model.encode(inputs, margin_px=margin, rows=rows), with_kl=False, margin_px=margin).mean
            for rows in ((), (row,))
        )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
