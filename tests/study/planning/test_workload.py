"""What a trial computes is counted from shapes as the training itself counts it."""

from typing import Any

import numpy as np
import pytest

from study.planning.workload import data_bytes, evaluation_passes, part_shapes, training_work
from usplit_core.config import RunConfig
from usplit_core.data.splits import split
from usplit_core.settings import resolve


def run_with(**settings: Any) -> RunConfig:
    small = {"data.path": "none", "model.patch_px": 16, "model.depth": 2, "tiling.padding_px": 4, "model.lc_depth": 1}
    return resolve({**small, **{name.replace("__", "."): value for name, value in settings.items()}})


@pytest.mark.parametrize("rule", ["frame", "region", "alternating"])
def test_the_parts_have_the_shapes_that_a_split_gives(rule: str) -> None:
    run = run_with(data__split=rule)
    pixels = np.zeros((40, 2, 80, 100), np.uint16)
    parts = split(pixels, run.data)
    assert part_shapes((40, 2, 80, 100), run.data) == (parts.train.shape, parts.validation.shape, parts.test.shape)


def test_parts_of_frames_that_no_memory_could_hold_are_counted() -> None:
    shapes = part_shapes((10_000, 2, 100_000, 100_000), run_with().data)
    assert [shape[0] for shape in shapes] == [8000, 1000, 1000]


def test_steps_and_passes_are_those_of_the_schedule() -> None:
    run = run_with(train__epochs=3, train__batch_size=4, train__steps_per_epoch=5)
    work = training_work(run, part_shapes((10, 2, 64, 64), run.data))
    assert work.steps == 15
    assert work.training_passes == 3 * 15 * 4
    assert work.validation_passes == 3 * 16


def test_an_epoch_covers_the_frames_where_it_has_no_number_of_steps() -> None:
    run = run_with(train__batch_size=5)
    patches = 8 * 3 * 4
    assert training_work(run, part_shapes((10, 2, 48, 64), run.data)).steps_per_epoch == -(-patches // 5)


def test_evaluations_cost_what_their_tiles_and_samples_cost() -> None:
    run = run_with()
    shapes = part_shapes((10, 2, 64, 64), run.data)
    inner = run.tiling
    outer = inner.model_copy(update={"mode": "outer"})
    assert evaluation_passes(run, [inner], shapes) == 64
    assert evaluation_passes(run, [outer], shapes) == 16 * 1.5**2
    assert evaluation_passes(run, [inner.model_copy(update={"samples": 5})], shapes) == 5 * 64
    assert evaluation_passes(run, [inner, outer], shapes) == 64 + 36


def test_more_context_and_more_frames_take_more_memory() -> None:
    plain, context = run_with(model__lc_depth=0), run_with()
    few, many = (part_shapes((frames, 2, 64, 64), plain.data) for frames in (10, 100))
    assert data_bytes(plain, few, 2) == 9 * 64 * 64 * 2 * 2
    assert data_bytes(plain, few, 2) < data_bytes(context, few, 2) < data_bytes(context, many, 2)
