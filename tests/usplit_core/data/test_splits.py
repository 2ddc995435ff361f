"""Parts share no pixel, are never empty, and follow the rules of the paper."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from usplit_core.config import DataConfig
from usplit_core.data.splits import check_size, split
from usplit_core.errors import DataError


def numbered(frames: int, height: int = 1, width: int = 1) -> NDArray[Any]:
    """Return frames (N, 1, Y, X) in which no two pixels are equal."""
    return np.arange(frames * height * width).reshape(frames, 1, height, width)


def config(**settings: Any) -> DataConfig:
    return DataConfig(path="images.tif", **settings)


def test_frames_go_to_test_first_then_validation_then_training() -> None:
    parts = split(numbered(10), config())
    assert parts.record == {"rule": "frame", "frames": {"train": list(range(2, 10)), "validation": [1], "test": [0]}}
    assert parts.test.ravel().tolist() == [0]
    assert parts.train.ravel().tolist() == list(range(2, 10))


def test_alternating_split_is_that_of_the_61_frames_of_pavia_atn() -> None:
    frames = split(numbered(61), config(split="alternating")).record["frames"]
    assert frames["validation"] == [0, 1, 2, 6, 7, 8]
    assert frames["test"] == [3, 4, 5, 9, 10, 11]
    assert frames["train"] == list(range(12, 61))


def test_alternating_split_of_1000_frames_keeps_100_for_validation_and_100_for_the_test() -> None:
    parts = split(numbered(1000), config(split="alternating"))
    assert [len(parts.train), len(parts.validation), len(parts.test)] == [800, 100, 100]
    assert parts.record["frames"]["train"][0] == 200


@given(
    frames=st.integers(1, 40),
    rule=st.sampled_from(["auto", "frame", "alternating", "region"]),
    validation=st.floats(0.01, 0.4),
    test=st.floats(0.01, 0.4),
)
def test_every_pixel_belongs_to_exactly_one_part(frames: int, rule: str, validation: float, test: float) -> None:
    pixels = numbered(frames, 7, 11)
    settings = config(split=rule, validation_fraction=validation, test_fraction=test)
    if rule in ("frame", "alternating") and frames < 3:
        with pytest.raises(DataError, match="region"):
            split(pixels, settings)
        return
    parts = split(pixels, settings)
    used = np.concatenate([parts.train.ravel(), parts.validation.ravel(), parts.test.ravel()])
    assert sorted(used) == list(range(pixels.size))
    assert min(parts.train.size, parts.validation.size, parts.test.size) > 0
    assert json.loads(json.dumps(parts.record)) == parts.record


def test_auto_cuts_few_frames_along_their_longer_axis() -> None:
    parts = split(numbered(4, 20, 10), config())
    assert parts.record["region_axis"] == "y"
    assert parts.record["regions_px"] == {"train": [0, 16], "validation": [16, 18], "test": [18, 20]}
    assert parts.test.shape == (4, 1, 2, 10)
    assert split(numbered(5, 20, 10), config()).record["rule"] == "frame"


def test_a_fraction_that_floats_round_down_is_kept() -> None:
    assert len(split(numbered(100), config(test_fraction=0.29)).test) == 29


def test_frames_smaller_than_a_patch_are_refused_with_a_remedy() -> None:
    parts = split(numbered(2, 64, 200), config())
    check_size(parts, 20)
    with pytest.raises(DataError, match=r"validation frames are 64 x 20 .*validation_fraction.*region_axis to 'y'"):
        check_size(parts, 32)
    with pytest.raises(DataError, match=r"train frames .* lower model.patch_px to at most 8"):
        check_size(split(numbered(9, 8, 8), config()), 16)
