"""Every run of the paper is a legal run, and a preset states only its difference."""

import itertools
from typing import get_args

import pytest

from usplit_core.config import Architecture, Variant
from usplit_core.errors import ConfigError
from usplit_core.presets import DATA_SETS, paper
from usplit_core.settings import resolve
from usplit_core.variants import DEFAULTS


@pytest.mark.parametrize("schedule", ["paper", "reduced"])
@pytest.mark.parametrize("data_set", DATA_SETS)
def test_every_run_of_the_paper_resolves(data_set: str, schedule: str) -> None:
    for architecture, variant in itertools.product(get_args(Architecture), get_args(Variant)):
        if (architecture, variant) in DEFAULTS:
            settings = paper(data_set, architecture, variant, schedule=schedule)  # type: ignore[arg-type] # from literals
            run = resolve({"data.path": "images.tif", **settings})
            assert run.train.batch_size == 32


def test_schedules_are_those_of_the_released_configurations() -> None:
    assert paper("hagen")["train.epochs"] == 200
    assert paper("hagen", "bravenet")["train.early_stop_patience"] == 200
    assert paper("critters_n0")["train.plateau_patience"] == 180
    assert paper("critters_n25", "unet", "vanilla")["train.epochs"] == 2400


def test_an_unknown_data_set_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'hagen'"):
        paper("hagan")
