"""Whole studies on Ray: what is counted, pruned, searched and added later."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import study
from study.engine.driver import Driver
from study.engine.ledger import read_spent, read_statuses
from study.engine.limits import BY_REQUEST
from study.engine.outage import StorageOutage
from study.engine.points import Points
from study.engine.result import StudyResult
from study.spec import ASHA, AtMost, Choice, Grid, IntRange, LogUniform, Search, Study
from study.store import Store

pytestmark = pytest.mark.slow


def small(images: Path, **changes: Any) -> Study:
    """Return a study whose trainings take about a second each."""
    settings: dict[str, Any] = {
        "name": "small",
        "question": "Does the engine count?",
        "base": {
            "data.path": str(images),
            "model.depth": 2,
            "model.filters": 4,
            "model.latent_channels": 4,
            "model.lc_depth": 0,
            "train.epochs": 2,
            "train.steps_per_epoch": 2,
            "train.batch_size": 2,
            "model.patch_px": 16,
        },
        "evaluate": {"tiling.padding_px": Grid(2)},
        **changes,
    }
    settings["base"] = {name: value for name, value in settings["base"].items() if name not in changes.get("train", {})}
    return Study(**settings)


def run(asked: Study, store: Path) -> StudyResult:
    return study.run(asked, store=store, quiet=True)


def test_levels_seeds_and_tilings_are_counted_and_a_tiling_costs_no_training(images: Path, tmp_path: Path) -> None:
    asked = small(
        images,
        train={"model.lc_depth": Grid(0, 1, 2), "model.filters": Grid(4, 6)},
        evaluate={"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(0, 2, 4)},
        replicates=2,
    )
    first = run(asked, tmp_path)
    assert (first.trained, first.evaluated, first.complete) == (12, 72, True)
    assert (len(first.trials), len(first.evaluations)) == (12, 72)

    more = replace(asked, evaluate={**asked.evaluate, "tiling.padding_px": Grid(0, 2, 4, 6)})
    second = run(more, tmp_path)
    assert (second.trained, second.evaluated) == (0, 24)

    overlapping = replace(
        asked,
        name="other",
        train={"model.lc_depth": Grid(0), "model.filters": Grid(4, 8)},
        evaluate={"tiling.padding_px": Grid(2)},
    )
    third = run(overlapping, tmp_path)
    assert (third.trained, third.evaluated) == (2, 2)
    assert len(third.trials) == 4


def test_asha_prunes_and_a_study_without_it_trains_the_rest(images: Path, tmp_path: Path) -> None:
    asked = small(images, train={"train.learning_rate": Grid(3e-3, 1e-3, 1e-7, 1e-8, 1e-9, 1e-10)})
    rare = {"train.epochs": 8, "train.checkpoint_every_epochs": 5}
    asked = replace(asked, base={**asked.base, **rare}, stopping=ASHA(reduction=2))
    result = run(asked, tmp_path)
    states = [row.state for row in result.trials]
    assert set(states) == {"finished", "pruned"}
    assert read_spent(Store(tmp_path).ledger, asked.name).steps == 2 * sum(row.epochs_run for row in result.trials)
    for row in result.trials:
        assert row.model is not None
        assert (row.epochs_run == 8) == (row.state == "finished")
    assert {row.fingerprint for row in result.evaluations} == {
        row.fingerprint for row in result.trials if row.state == "finished"
    }

    again = run(asked, tmp_path)
    assert (again.trained, again.evaluated, again.complete) == (0, 0, True)
    assert [row.state for row in again.trials] == states

    more = run(replace(asked, evaluate={"tiling.padding_px": Grid(2, 4)}), tmp_path)
    assert (more.trained, more.evaluated, more.complete) == (0, states.count("finished"), True)
    assert [row.state for row in more.trials] == states

    whole = run(replace(asked, name="whole", stopping=None), tmp_path)
    assert whole.trained == states.count("pruned")
    assert [row.epochs_run for row in whole.trials] == [8] * 6


def test_a_search_draws_its_points_once_and_can_be_extended(images: Path, tmp_path: Path) -> None:
    asked = small(
        images,
        train={
            "model.depth": IntRange(1, 2),
            "model.lc_depth": IntRange(0, 2),
            "train.learning_rate": LogUniform(1e-4, 1e-2),
            "model.variant": Choice("lean", "regular"),
        },
        conditions=(AtMost("model.lc_depth", "model.depth"),),
        design=Search(trials=3, seed=1),
        objective="validation/psnr_db",
    )
    first = run(asked, tmp_path)
    assert first.complete
    assert len({row.fingerprint for row in first.trials}) == first.trained
    assert first.best is not None

    again = run(asked, tmp_path)
    assert (again.trained, again.evaluated) == (0, 0)
    assert [row.fingerprint for row in again.trials] == [row.fingerprint for row in first.trials]

    longer = run(replace(asked, design=Search(trials=5, seed=1)), tmp_path)
    assert {row.fingerprint for row in first.trials} < {row.fingerprint for row in longer.trials}
    assert longer.trained == len(longer.trials) - len(first.trials)


def test_what_the_driver_cannot_book_ends_the_study_in_order(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = small(images, replicates=2)
    told: list[str] = []

    def fail(driver: Driver, fingerprint: str, steps: int) -> None:
        told.append(fingerprint)
        raise StorageOutage("storage has failed for 600 s")

    with monkeypatch.context() as failing:
        failing.setattr(Driver, "_count_steps", fail)
        with pytest.raises(StorageOutage, match=r"^storage has failed for 600 s$"):
            run(asked, tmp_path)
    assert len(told) == 1
    statuses = read_statuses(tmp_path / "ledger.sqlite", "small")
    assert {status.state for status in statuses} <= {"pending", "finished"}
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone() == (0,)
    assert run(asked, tmp_path).complete


def test_a_stop_that_is_asked_for_while_the_driver_makes_ready_is_heeded(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = small(images, replicates=2)
    asked = replace(asked, base={**asked.base, "train.epochs": 200})
    request = Store(tmp_path).stop_request("small")

    def stop(driver: Driver, points: Points | None) -> None:
        request.parent.mkdir(parents=True, exist_ok=True)
        request.touch()
        begin(driver, points)

    begin = Driver.begin
    monkeypatch.setattr(Driver, "begin", stop)
    assert run(asked, tmp_path).stop_reason == BY_REQUEST
