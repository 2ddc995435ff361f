"""Same fingerprint, same trial: what can change a result is in it, and nothing else."""

from typing import Any

import pytest

from study.planning.fingerprint import cell, evaluation_key, fingerprint
from usplit_core.config import TilingConfig
from usplit_core.identity import identity
from usplit_core.settings import resolve

BASE = {"data.path": "cells.tif"}

#: A value of every field of a tiling that is not its default.
OTHER_TILING = {
    "mode": "sliding",
    "padding_px": 8,
    "stride_px": 4,
    "samples": 10,
    "border": "shift",
    "remainder": "left_out",
    "precision": "bfloat16",
}


def identify(content: str = "content", **settings: Any) -> str:
    return fingerprint(resolve(BASE | {name.replace("__", "."): value for name, value in settings.items()}), content)


@pytest.mark.parametrize(
    "change", [{"model__lc_depth": 2}, {"train__seed": 1}, {"data__clip_quantile": 0.9}, {"objective__kl_weight": 2.0}]
)
def test_what_can_change_a_result_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert identify(**change) != identify()


@pytest.mark.parametrize(
    "change",
    [
        {"data__path": "moved/cells.tif"},
        {"data__axes": "CYX"},
        {"tiling__mode": "outer"},
        {"tiling__samples": 9},
        {"train__data_seed": 0},
        {"model__depth": 4},
    ],
)
def test_what_cannot_change_a_result_does_not(change: dict[str, Any]) -> None:
    assert identify(**change) == identify()


def test_only_what_differs_from_its_default_counts() -> None:
    """So a setting that a later version adds leaves the trials of earlier ones what they were."""
    stated = identity(resolve(BASE | {"train.epochs": 200, "data.clip_quantile": 0.9}))
    assert stated["data.clip_quantile"] == 0.9
    assert "train.epochs" not in stated


def test_other_pixels_are_another_trial() -> None:
    assert identify("other content") != identify()


def test_replicates_share_their_cell() -> None:
    runs = [resolve(BASE | {"train.seed": seed}) for seed in (0, 1)]
    assert cell(runs[0], "content") == cell(runs[1], "content")
    assert fingerprint(runs[0], "content") != fingerprint(runs[1], "content")


def test_tilings_have_names_of_their_own() -> None:
    tilings = [
        resolve(BASE | {"tiling.mode": mode, "tiling.padding_px": padding, "tiling.samples": samples}).tiling
        for mode in ("inner", "outer")
        for padding in (8, 16)
        for samples in (1, 10)
    ]
    tilings += [
        resolve(BASE | {f"tiling.{name}": value for name, value in changes.items()}).tiling
        for changes in (
            {"mode": "sliding"},
            {"mode": "sliding", "stride_px": 4},
            {"mode": "sliding", "stride_px": 8},
            {"border": "shift"},
            {"border": "reflect"},
            {"remainder": "left_out"},
        )
    ]
    assert len({evaluation_key(tiling) for tiling in tilings}) == 14
    assert evaluation_key(tilings[0]) == "inner-8px-1"


@pytest.mark.parametrize("field", TilingConfig.model_fields)
def test_every_field_of_a_tiling_is_in_its_name(field: str) -> None:
    """A field that is not would let one evaluation take the scores of another."""
    tiling = TilingConfig(mode="sliding") if field == "stride_px" else TilingConfig()
    assert evaluation_key(tiling.model_copy(update={field: OTHER_TILING[field]})) != evaluation_key(tiling)


def test_the_default_tiling_keeps_the_name_that_its_scores_are_stored_under() -> None:
    assert evaluation_key(TilingConfig()) == "inner-16px-1"
