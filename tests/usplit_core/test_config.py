"""A run is refused with the value, the rule and the remedy, or it is complete."""

import json
from typing import Any

import pytest

from usplit_core.config import check_tiling
from usplit_core.errors import ConfigError
from usplit_core.settings import SETTINGS, flatten, format_setting, parse_setting, resolve, to_json, validate
from usplit_core.variants import DEFAULTS

IMAGES = {"data.path": "cells.tif"}


def test_a_variant_brings_its_depth_and_what_is_stated_wins() -> None:
    assert resolve(IMAGES | {"model.variant": "deep"}).model.depth == 8
    assert resolve(IMAGES | {"model.variant": "deep", "model.depth": 6}).model.depth == 6
    assert resolve(IMAGES | {"model.variant": "vanilla"}).model.lc_depth == 0


@pytest.mark.parametrize(("architecture", "variant"), DEFAULTS)
def test_every_network_of_the_paper_is_a_legal_run(architecture: str, variant: str) -> None:
    run = resolve(IMAGES | {"model.architecture": architecture, "model.variant": variant})
    assert run.model.patch_px % run.model.patch_multiple == 0


def test_the_number_of_structure_channels_follows_from_the_channels() -> None:
    assert resolve(IMAGES | {"data.channels": (0, 2, 3)}).model.structure_channels == 3


def test_settings_survive_the_way_through_texts_and_json() -> None:
    several = {"data.path": ("actin.tif", "nuclei.tif"), "data.channels": ("CTIP2", "BRN2")}
    run = resolve(several | {"model.latent_channels": (8, 8, 4, 4)})
    texts = {name: format_setting(value) for name, value in flatten(run).items()}
    assert resolve({name: parse_setting(name, text) for name, text in texts.items()}) == run
    assert validate(json.loads(to_json(run))) == run


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("model.lc_depth", "2", 2),
        ("train.learning_rate", "1e-3", 1e-3),
        ("data.clip_quantile", "1", 1.0),
        ("data.channels", "0,1", (0, 1)),
        ("data.channels", "CTIP2,BRN2", ("CTIP2", "BRN2")),
        ("train.early_stop_patience", "none", None),
        ("data.augment", "true", True),
        ("data.path", "5.tif", "5.tif"),
        ("data.path", "5", "5"),
        ("data.path", '["a.tif", "b, c.tif"]', ("a.tif", "b, c.tif")),
        ("data.path", "[5].tif", "[5].tif"),
        ("data.path", "[5]", "[5]"),
        ("model.latent_channels", "8", 8),
        ("model.latent_channels", "8,4", (8, 4)),
    ],
)
def test_a_text_becomes_the_value_that_its_setting_takes(name: str, text: str, value: object) -> None:
    parsed = parse_setting(name, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("settings", "value", "remedy"),
    [
        ({"model.lc_dept": 2}, "model.lc_dept", "did you mean 'model.lc_depth'"),
        ({"model.variant": "vanila"}, "vanila", "did you mean 'vanilla'"),
        ({"model.lc_depth": 9}, "9", "less than or equal to 8"),
        ({"model.lc_depth": 5}, "deeper than the network", "at most 4"),
        ({"model.variant": "vanilla", "model.lc_depth": 2}, "lc_depth = 2", "set model.lc_depth to 0"),
        ({"model.variant": "deep", "model.depth": 4}, "depth = 4", "raise model.depth"),
        ({"model.variant": "vanilla", "model.patch_px": 60}, "patch_px = 60", "multiple of 16"),
        ({"model.latent_channels": (1, 2)}, "[1, 2]", "4 numbers"),
        ({"model.architecture": "bravenet", "model.variant": "lean"}, "lean", "vanilla, regular"),
        ({"tiling.padding_px": 32}, "32", "below 32"),
        ({"model.variant": "lean", "tiling.mode": "outer", "tiling.padding_px": 9}, "9", "multiple of 8"),
        ({"data.channels": (0,)}, "[0]", "at least 2"),
        ({"data.channels": (1, 1)}, "[1, 1]", "once"),
        ({"data.validation_fraction": 0.6, "data.test_fraction": 0.5}, "nothing to train on", "lower one"),
        ({"data.mixing_weights": (1.0,)}, "[1.0]", "2 channels"),
        ({"train.seed": True}, "true", "integer"),
        ({"train.learning_rate": float("nan")}, "learning_rate", "finite"),
        ({"data.path": object()}, "object", "numbers, texts and tuples"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_value_and_a_remedy(
    settings: dict[str, Any], value: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(IMAGES | settings)
    assert value in str(refused.value)
    assert remedy in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(IMAGES | {"train.epochs": 0, "train.batch_size": 0})
    assert "train.epochs" in str(refused.value)
    assert "train.batch_size" in str(refused.value)


def test_images_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.path is not set"):
        resolve({})


def test_a_text_that_is_no_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.lc_depth = 'two'"):
        parse_setting("model.lc_depth", "two")


def test_every_tiling_of_the_paper_fits_the_paper_s_network() -> None:
    model = resolve(IMAGES).model
    for mode, paddings in {"inner": (0, 16, 24, 28), "outer": (16, 32, 48, 64)}.items():
        for padding_px in paddings:
            run = resolve(IMAGES | {"tiling.mode": mode, "tiling.padding_px": padding_px})
            check_tiling(model, run.tiling)


def test_every_setting_has_a_label_of_its_own() -> None:
    labels = [info.label for info in SETTINGS.values()]
    assert len(set(labels)) == len(labels)
    assert not any("_" in label for label in labels)
