"""GPUs are shared in eighths, by the memory that a trial needs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.engine import slots
from study.engine.slots import Slots, gpu_part
from study.spec import Resources
from usplit_core.config import RunConfig
from usplit_core.settings import resolve

GB = 1e9


@pytest.mark.parametrize(
    ("needed", "part"), [(0.1, 1 / 8), (10.0, 1 / 8), (10.1, 2 / 8), (39, 4 / 8), (60, 6 / 8), (61, 1), (200, 1)]
)
def test_a_part_is_the_next_eighth_and_whole_from_seven_on(needed: float, part: float) -> None:
    assert gpu_part(needed * GB, 80 * GB) == part


@given(needed=st.floats(1e6, 8e10), total=st.floats(4e9, 2e11))
def test_trials_that_share_a_gpu_fit_into_it(needed: float, total: float) -> None:
    part = gpu_part(needed, total)
    assert 1 / 8 <= part <= 1
    if part < 1:
        assert needed <= part * total * (1 + 1e-9)


def run_of(**settings: Any) -> RunConfig:
    return resolve({"data.path": "cells.tif"} | {name.replace("__", "."): value for name, value in settings.items()})


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Return the nodes of a cluster that a test fills."""
    found: list[dict[str, float]] = []
    monkeypatch.setattr(slots, "_nodes", lambda: found)
    monkeypatch.setattr(slots, "smallest_gpu_bytes", lambda: 80 * GB)
    monkeypatch.setattr(slots, "training_bytes", lambda run: 10 * GB if run.model.filters < 100 else 60 * GB)

    def gpus(resources: Resources) -> float:
        has = any(node.get("GPU", 0) for node in found)
        return float(has) if resources.gpus is None else resources.gpus

    monkeypatch.setattr(slots, "gpus_per_trial", gpus)
    return found


def test_small_trials_share_a_gpu_and_a_large_one_has_it_alone(nodes: list[dict[str, float]]) -> None:
    nodes.append({"CPU": 16, "GPU": 2})
    given = Slots(Resources(cpus=1), lambda run: 0)
    assert given.request(run_of(model__filters=64), alone=False) == (1, 0.25)
    assert given.count() == 8
    assert given.request(run_of(model__filters=128), alone=False) == (1, 1.0)
    assert given.count() == 2


def test_images_on_the_device_count_too(nodes: list[dict[str, float]]) -> None:
    nodes.append({"CPU": 16, "GPU": 1})
    given = Slots(Resources(), lambda run: int(20 * GB))
    assert given.request(run_of(model__filters=64), alone=False) == (1, 0.5)


def test_a_trial_that_ran_out_of_memory_gets_a_whole_gpu(nodes: list[dict[str, float]]) -> None:
    nodes.append({"CPU": 16, "GPU": 1})
    given = Slots(Resources(), lambda run: 0)
    assert given.request(run_of(), alone=True) == (1, 1.0)


def test_without_gpus_it_gets_all_cores_of_a_node(nodes: list[dict[str, float]]) -> None:
    nodes.extend([{"CPU": 4}, {"CPU": 8}])
    given = Slots(Resources(cpus=2), lambda run: 0)
    assert given.request(run_of(), alone=False) == (2, 0.0)
    assert given.request(run_of(), alone=True) == (8, 0.0)
    assert given.count() == 6


def test_a_stated_part_of_a_gpu_is_kept(nodes: list[dict[str, float]]) -> None:
    nodes.append({"CPU": 16, "GPU": 2})
    given = Slots(Resources(gpus=0.5), lambda run: 0)
    assert given.request(run_of(model__filters=128), alone=False) == (1, 0.5)
    assert given.count() == 4
