"""ELU that is looked up is ELU, bit by bit."""

import pytest
import torch
from torch.nn import functional

from usplit_core.models.activation import elu


def every_number() -> torch.Tensor:
    """Return all numbers of bfloat16 as maps (B, F, Y, X)."""
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16)
    return bits.view(torch.bfloat16).reshape(4, 16, 32, 32)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_every_number_of_bfloat16_has_the_elu_of_torch(order: torch.memory_format) -> None:
    maps = every_number().to(memory_format=order, copy=True)
    expected = functional.elu(maps)
    with torch.no_grad():
        found = elu(maps)
    assert found.is_contiguous(memory_format=order)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_more_values_than_are_looked_up_at_once_are_all_found() -> None:
    maps = torch.randn(3, 8, 96, 96, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    with torch.no_grad():
        torch.testing.assert_close(elu(maps.clone()), functional.elu(maps), rtol=0, atol=0)


def test_a_window_of_a_map_has_its_elu_too_and_leaves_the_rest() -> None:
    maps = torch.full((2, 4, 6, 6), -1.0, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    with torch.no_grad():
        found = elu(maps[..., 1:5, 1:5])
    assert (found > -0.7).all()
    assert (maps[..., 0] == -1).all()


def test_a_training_has_its_gradient() -> None:
    maps = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.bfloat16).reshape(1, 1, 1, 3).requires_grad_()
    elu(maps * 1).sum().backward()  # type: ignore[no-untyped-call]  # torch does not type it
    expected = torch.tensor([-2.0, 0.0, 3.0]).clamp(max=0).exp().reshape(1, 1, 1, 3)
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad.float(), expected, rtol=2e-2, atol=0)
