"""A name belongs to one question: levels may be added to it, and nothing else may change."""

import json
from dataclasses import replace
from typing import Any

import pytest

from study.errors import StoreError
from study.planning.extension import check_extends
from study.spec import AtMost, Grid, IntRange, LogUniform, Search, Study
from tests.study.test_spec import make_study

GRID = make_study(train={"model.lc_depth": Grid(0, 2)}, evaluate={"tiling.padding_px": Grid(8)})
SEARCH = make_study(
    train={"model.lc_depth": IntRange(0, 2), "train.learning_rate": LogUniform(1e-4, 1e-2)},
    design=Search(trials=4),
    objective="validation/psnr_db",
)


def remembered(study: Study) -> dict[str, Any]:
    """Return a description as the ledger gives it back."""
    description: dict[str, Any] = json.loads(json.dumps(study.describe()))
    return description


def test_a_new_name_is_free() -> None:
    check_extends(GRID, None)


@pytest.mark.parametrize(
    ("study", "changes"),
    [
        (GRID, {}),
        (GRID, {"train": {"model.lc_depth": Grid(0, 2, 4)}}),
        (GRID, {"evaluate": {"tiling.padding_px": Grid(8, 16), "tiling.mode": Grid("inner", "outer")}}),
        (GRID, {"replicates": 5}),
        (GRID, {"question": "Said better?"}),
        (SEARCH, {"design": Search(trials=9)}),
    ],
)
def test_a_study_may_grow(study: Study, changes: dict[str, Any]) -> None:
    check_extends(replace(study, **changes), remembered(study))


@pytest.mark.parametrize(
    ("study", "changes", "named"),
    [
        (GRID, {"base": {**GRID.base, "train.epochs": 7}}, "train.epochs"),
        (GRID, {"train": {"model.lc_depth": Grid(0, 2), "model.variant": Grid("lean", "regular")}}, "train factors"),
        (GRID, {"objective": "test/ssim"}, "objective"),
        (SEARCH, {"design": Search(trials=4, sampler="random")}, "design"),
        (SEARCH, {"train": {**SEARCH.train, "train.learning_rate": LogUniform(1e-5, 1e-2)}}, "ranges"),
        (SEARCH, {"conditions": (AtMost("model.lc_depth", "model.depth"),)}, "conditions"),
    ],
)
def test_another_question_under_the_same_name_is_refused(study: Study, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(StoreError, match=named) as refused:
        check_extends(replace(study, **changes), remembered(study))
    assert "--name" in str(refused.value)
