"""Frames and their context are shared by processes that train on them, and are the same as in the memory of one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.usplit_core.data.patches import batch_of
from usplit_core.config import DataConfig
from usplit_core.data import halving, shared_arrays
from usplit_core.data.levels import Levels
from usplit_core.data.mixing import fit_statistics
from usplit_core.data.sampling import PatchSource
from usplit_core.data.shared_arrays import ArrayCache
from usplit_core.data.splits import Parts, split

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "background": {"background_quantile": 0.05},
    "drawn weights": {"mixing_weight_range": (0.2, 0.8)},
    "regions": {"border": "constant", "split": "region"},
    "alternating": {"split": "alternating", "validation_fraction": 0.4, "test_fraction": 0.4},
}


@pytest.fixture(autouse=True)
def _share_small_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_arrays, "_LEAST_BYTES", 0)


@pytest.fixture
def arrays(tmp_path: Path) -> ArrayCache:
    """Return an empty cache."""
    return ArrayCache(tmp_path, {"content": "abc"})


def frames(dtype: str) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 250, (20, 2, 70, 90)).astype(dtype)


def config(**settings: Any) -> DataConfig:
    return DataConfig(path="images.tif", **settings)


def seen(parts: Parts, data: DataConfig, lc_depth: int = 2) -> list[torch.Tensor]:
    """Return patches, windows and targets of every part."""
    statistics = fit_statistics(parts.train, data)
    found: list[torch.Tensor] = []
    for name in ("train", "validation", "test"):
        source = PatchSource.from_frames(
            getattr(parts, name), statistics, data, lc_depth=lc_depth, arrays=parts.arrays_of(name)
        )
        found += batch_of(source, 1, 2, batch_size=5, patch_px=8)
        found += [source.windows([0, 1], [-9, 3], [40, 0], 16), source.windows([0], [60], [4], 8), source.target(1)]
    return found


@pytest.mark.parametrize(
    ("case", "dtype"), [*((case, "uint16") for case in CASES), ("plain", ">u2"), ("regions", "float64")]
)
def test_shared_levels_are_those_of_one_process_to_the_last_digit(arrays: ArrayCache, case: str, dtype: str) -> None:
    data, pixels = config(**CASES[case]), frames(dtype)
    own, filled, known = seen(split(pixels, data), data), *(seen(split(pixels, data, arrays), data) for _ in range(2))
    for one, other, third in zip(own, filled, known, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


def test_a_level_is_made_once_for_trainings_of_any_depth(arrays: ArrayCache, monkeypatch: pytest.MonkeyPatch) -> None:
    data, pixels, halved = config(), frames("uint16"), []
    halve = halving.halve_into

    def count(target: torch.Tensor, *source: Any) -> None:
        halved.append(target.shape)
        halve(target, *source)

    monkeypatch.setattr(halving, "halve_into", count)
    counts = []
    for lc_depth in (1, 3, 2, 3):
        seen(split(pixels, data, arrays), data, lc_depth)
        counts.append(len(halved))
    assert counts == [20, 60, 60, 60]


def test_what_decides_a_level_tells_it_from_others(arrays: ArrayCache) -> None:
    pixels = frames("uint16")
    others = [
        config(),
        config(border="constant"),
        config(clip_quantile=0.9),
        config(mixing_weights=(1, 3)),
        config(input_normalisation="superimposed"),
    ]
    for data in others:
        found = seen(split(pixels, data, arrays), data)
        for one, other in zip(seen(split(pixels, data), data), found, strict=True):
            assert torch.equal(one, other)
    second = frames("uint16")[::-1]
    of_second = split(second, config(), arrays._replace(origin={"content": "another"}))
    for one, other in zip(seen(split(second, config()), config()), seen(of_second, config()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("rule", ["frame", "region"])
def test_parts_of_frames_are_not_copied(rule: str) -> None:
    data, pixels = config(split=rule), frames("uint16")
    parts = split(pixels, data)
    for part in (parts.train, parts.validation, parts.test):
        levels = Levels(part, fit_statistics(parts.train, data), device=torch.device("cpu"), arrays=None)
        assert levels.native.data_ptr() == part.ctypes.data
        assert np.shares_memory(levels.native.numpy(), pixels)
        cut = levels.padded(8, 0, "reflect")
        place = cut.places(np.array([1]), np.array([3]), np.array([0]))
        window = cut.windows[0].index_select(0, place[0])[0]
        assert np.array_equal(window.numpy().view(np.uint16), part[1, :, 3:11, :8])


def test_patches_of_images_that_memory_need_not_hold_are_brought_to_the_device(arrays: ArrayCache) -> None:
    data, pixels = config(augment=True), frames("uint16")
    statistics, mapped = fit_statistics(pixels, data), arrays._replace(must_map=True)
    source = PatchSource.from_frames(pixels, statistics, data, lc_depth=1, device="meta", arrays=mapped)
    batch = batch_of(source, 0, 0, batch_size=2, patch_px=8)
    found = [
        *batch,
        source.windows([0], [-4], [0], 8),
        source.target(0),
        *next(source.grid_batches(patch_px=8, batch_size=2)),
    ]
    assert {tensor.device.type for tensor in found} == {"meta"}
    assert source._levels.native.data_ptr() == pixels.ctypes.data
