"""Tilings that no network can take are refused, with what would work."""

from typing import Any

import pytest

from usplit_core.errors import ConfigError
from usplit_core.settings import resolve

BASE = {"data.path": "none.tif"}  # patches of 64 px


@pytest.mark.parametrize(
    ("tiling", "message"),
    [
        ({"padding_px": 32}, "leaves nothing of a 64 px patch.*set it below 32"),
        ({"mode": "sliding", "padding_px": 40}, "sliding padding keeps patch_px - 2 padding_px"),
        ({"mode": "outer", "padding_px": 16, "stride_px": 8}, "outer tiles do not overlap"),
        ({"mode": "sliding", "stride_px": 5}, "use a divisor of 32"),
        ({"mode": "sliding", "border": "shift"}, "sliding tiles cover every pixel equally often"),
        ({"mode": "sliding", "remainder": "left_out"}, "sliding tiles cover every pixel equally often"),
        ({"border": "shift", "remainder": "left_out"}, "the original lets windows reach beyond the frame"),
        ({"border": "wrap"}, "border"),
        ({"stride_px": 0}, "stride_px"),
    ],
)
def test_a_tiling_that_does_not_exist_is_refused(tiling: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(BASE | {f"tiling.{name}": value for name, value in tiling.items()})


@pytest.mark.parametrize(
    "tiling",
    [
        {"mode": "sliding"},
        {"mode": "sliding", "stride_px": 32},
        {"mode": "sliding", "stride_px": 1, "border": "constant"},
        {"mode": "outer", "padding_px": 16, "border": "shift"},
        {"padding_px": 31, "remainder": "left_out", "border": "reflect"},
    ],
)
def test_other_tilings_are_taken(tiling: dict[str, Any]) -> None:
    run = resolve(BASE | {f"tiling.{name}": value for name, value in tiling.items()})

    assert {name: getattr(run.tiling, name) for name in tiling} == tiling


def test_outer_padding_keeps_the_multiple_of_the_network() -> None:
    with pytest.raises(ConfigError, match="use a padding_px that is a multiple of 8"):
        resolve(BASE | {"model.variant": "vanilla", "tiling.mode": "outer", "tiling.padding_px": 4})
