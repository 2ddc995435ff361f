"""ELU. A prediction in bfloat16 on a CPU looks it up: there are 65,536 values, exponentials cost twice as much."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

#: Values whose bits stay in the cache.
_AT_ONCE = 1 << 17


def elu(x: Tensor) -> Tensor:
    """Return ELU of a map (B, F, Y, X), which may be overwritten."""
    values = x if x.is_contiguous() else x.permute(0, 2, 3, 1)
    is_short = x.dtype is torch.bfloat16 and x.device.type == "cpu"
    if torch.is_grad_enabled() or not is_short or not values.is_contiguous():
        return functional.elu(x, inplace=True)
    bits = torch.empty(min(_AT_ONCE, x.numel()), dtype=torch.int32)
    for part in torch.split(values.view(-1), _AT_ONCE):
        index = bits[: len(part)].copy_(part.view(torch.uint16))
        torch.index_select(_table(), 0, index, out=part)
    return x


@cache
def _table() -> Tensor:
    """Return ELU of every number of bfloat16, by its bits."""
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16)
    return functional.elu(bits.view(torch.bfloat16))
