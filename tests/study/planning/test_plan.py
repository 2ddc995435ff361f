"""A plan counts what a study would take and what is there of it, and says what will not work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.commands.plan import configurations_table, ranges_table, total_lines
from study.engine.ledger import Ledger
from study.engine.slots import gpu_part
from study.engine.trial_folder import write_evaluation, write_record, write_result
from study.errors import ResourceError, StoreError
from study.planning import plan as plan_module
from study.planning.datasets import Dataset, Outline, data_key
from study.planning.design import plan_trials
from study.planning.forecast import wall_seconds
from study.planning.machine import Machine
from study.planning.plan import Plan, PlanInput, build_plan, refuse, warnings
from study.planning.probe import Measurement
from study.planning.sizing import costs_of
from study.spec import (
    Budget,
    Choice,
    Constraint,
    Grid,
    LogUniform,
    Resources,
    Search,
    Study,
    train_runs,
)
from study.store import Store
from usplit_core.data.frames import Frames

SHAPE = (10, 2, 64, 64)
MACHINE = Machine(cpus=4, memory_bytes=16 * 10**9)
BASE: dict[str, Any] = {
    "data.path": "none.tif",
    "model.patch_px": 16,
    "model.depth": 2,
    "model.filters": 4,
    "model.latent_channels": 2,
    "train.epochs": 3,
    "train.steps_per_epoch": 5,
    "train.batch_size": 2,
}
TILINGS = {"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(4)}


def no_pixels() -> Frames:
    raise AssertionError("a plan needs no pixels")


class Given:
    """Studies on images that are never read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.dataset = Dataset(Outline("content", SHAPE, "<u2", ("a", "b")), no_pixels)

    def __call__(self, *, train: dict[str, Any] | None = None, machine: Machine = MACHINE, **words: Any) -> PlanInput:
        base = {**BASE, **words.pop("base", {})}
        levels = {"model.lc_depth": Grid(0, 1)} if train is None else train
        settings = {"name": "small", "question": "?", "replicates": 2, "evaluate": TILINGS, **words}
        study = Study(base=base, train=levels, **settings)
        trials = plan_trials(study, lambda data: "content")
        run = next(train_runs(study))
        return PlanInput(study, trials, {data_key(run.data): self.dataset}, self.store, machine)


@pytest.fixture
def given(tmp_path: Path) -> Given:
    return Given(Store(tmp_path / "store"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what lets every network have been measured."""

    def let(seconds: float, peak_bytes: int = 10**6) -> None:
        monkeypatch.setattr("study.planning.forecast.measured", lambda run, place: Measurement(seconds, peak_bytes))

    return let


def test_replicates_and_what_changes_no_size_are_one_configuration(given: Given) -> None:
    plan = build_plan(given(train={"model.lc_depth": Grid(0, 1), "train.learning_rate": Grid(1e-3, 1e-4)}))
    assert [one.label for one in plan.configurations] == ["regular lc0 P16", "regular lc1 P16"]
    assert [(one.trials, one.to_train, one.evaluations) for one in plan.configurations] == [(4, 4, 8), (4, 4, 8)]
    assert plan.totals.steps == 8 * 15


def test_what_is_there_is_not_counted_again(given: Given) -> None:
    wanted = given()
    finished, begun, noted, failed = wanted.trials
    folder = wanted.store.trial_folder(finished.fingerprint)
    folder.mkdir(parents=True)
    write_result(folder, {"stopped": "finished"})
    write_evaluation(folder, finished.evaluation_keys[0], {"metrics": {}}, {"input": np.zeros(1)})
    other = wanted.store.trial_folder(begun.fingerprint)
    other.mkdir()
    (other / "last.safetensors").touch()
    with Ledger.open(wanted.store.ledger) as ledger:
        ledger.register(wanted.study, wanted.trials)
        ledger.close_attempt(noted.fingerprint, "finished", outcome="finished")
        ledger.store_evaluation(noted.fingerprint, noted.evaluation_keys[1], {"test/psnr_db": 1.0})
        ledger.close_attempt(failed.fingerprint, "failed", outcome="failed", reason="error: x")
        plan = build_plan(wanted)  # beside the ledger's writer
    assert [one.states for one in plan.configurations] == [
        {"finished": 1, "resumable": 1},
        {"finished": 1, "failed": 1},
    ]
    assert plan.totals.to_train == 2
    assert plan.totals.evaluations_to_do == 6
    assert any("2 finished, 1 begun" in line for line in total_lines(plan))


def test_times_are_unknown_until_they_are_measured(given: Given, measured: Callable[..., None]) -> None:
    plan = build_plan(given())
    assert plan.totals.wall_seconds is None
    assert any("--probe" in line for line in total_lines(plan))
    measured(0.6)
    plan = build_plan(given())
    validation = 3 * 16
    passes = 15 * 2 * 3 + validation
    first = plan.configurations[0]
    assert first.train_seconds == pytest.approx(0.1 * passes)
    assert first.rate.source == "probe"
    assert plan.parallel == 4
    assert first.seconds_to_do is not None
    assert plan.totals.wall_seconds == pytest.approx(first.seconds_to_do / 2)  # four equal trials on four cores
    assert plan.totals.device_hours == pytest.approx(2 * first.seconds_to_do / 3600)


def test_finished_trials_say_how_long_theirs_take(given: Given, measured: Callable[..., None]) -> None:
    import platform

    measured(100.0)
    wanted = given()
    first = wanted.trials[0]
    folder = wanted.store.trial_folder(first.fingerprint)
    folder.mkdir(parents=True)
    record = {"run": first.run.model_dump(mode="json"), "data": {"content": "content"}, "threads": 1}
    write_record(folder, {**record, "host": platform.node(), "device": platform.machine()})
    write_result(folder, {"stopped": "finished", "best_epoch": 1, "cost": {"cost/train_seconds": 42.0}})
    plan = build_plan(wanted)
    assert plan.configurations[0].train_seconds == pytest.approx(42.0)
    assert [one.rate.source for one in plan.configurations] == ["trials", "probe"]
    elsewhere = build_plan(given(resources=Resources(cpus=2)))
    assert [one.rate.source for one in elsewhere.configurations] == ["probe", "probe"]


def test_what_does_not_fit_is_named_with_its_remedy(given: Given) -> None:
    small = Machine(cpus=1, memory_bytes=100 * 10**6)
    found = warnings(build_plan(given(machine=small)))
    assert len(found) == 2
    assert "needs about" in found[0]
    assert "train.batch_size" in found[0]


def test_trials_that_fit_alone_but_not_together_are_warned_of(given: Given, measured: Callable[..., None]) -> None:
    measured(0.1, 5 * 10**9)
    (found,) = warnings(build_plan(given()))
    assert "4 trials at a time may need" in found
    assert warnings(build_plan(given(resources=Resources(cpus=2)))) == []


def test_a_study_of_days_is_warned_of(given: Given, measured: Callable[..., None]) -> None:
    measured(1.0)
    assert warnings(build_plan(given())) == []
    (found,) = warnings(build_plan(given(base={"train.epochs": 20_000})))
    assert "days" in found


def test_a_budget_that_ends_the_study_early_is_warned_of(given: Given) -> None:
    assert warnings(build_plan(given(budget=Budget(steps=60, trainings=4)))) == []
    (found,) = warnings(build_plan(given(budget=Budget(steps=59))))
    assert "budget.steps = 59" in found


def test_what_constraints_leave_out_is_told_with_the_reason(given: Given) -> None:
    rule = Constraint(names=("model.lc_depth",), allows=lambda depth: depth < 1, reason="no context is wanted")
    plan = build_plan(given(constraints=(rule,)))
    assert plan.totals.trials == 2
    assert any("no context is wanted" in line for line in total_lines(plan))


def test_a_search_is_planned_from_a_few_of_its_draws(given: Given, measured: Callable[..., None]) -> None:
    measured(0.6)
    factors = {"model.lc_depth": Choice(0, 1), "train.learning_rate": LogUniform(1e-4, 1e-2)}
    search = Search(trials=50, sampler="random")
    plan = build_plan(given(train=factors, design=search, objective="validation/psnr_db"))
    assert plan.sampled == 32  # 16 points, 2 seeds
    assert plan.totals.trials == plan.totals.to_train == 100
    assert plan.totals.steps == 100 * 15
    assert plan.totals.evaluations == 200
    one = plan.configurations[0]
    assert one.train_seconds is not None
    assert plan.totals.wall_seconds is not None
    assert plan.totals.wall_seconds > 100 * one.train_seconds / plan.parallel


def test_resources_that_the_machine_lacks_are_refused(given: Given) -> None:
    with pytest.raises(ResourceError, match="8 CPUs"):
        refuse(build_plan(given(resources=Resources(cpus=8))))
    with pytest.raises(ResourceError, match="0 GPUs"):
        refuse(build_plan(given(resources=Resources(gpus=1))))
    refuse(build_plan(given()))


def test_a_study_without_space_is_refused(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "free_bytes", lambda path: 10**6)
    with pytest.raises(StoreError, match="use another --store"):
        refuse(build_plan(given()))


def test_a_gpu_is_shared_by_what_fits_on_it(given: Given, measured: Callable[..., None]) -> None:
    measured(0.1, 3 * 10**9)
    plan = build_plan(given(machine=Machine(cpus=16, memory_bytes=64 * 10**9, gpus=2, gpu_bytes=24 * 10**9)))
    assert plan.place.device == "cuda"
    assert [one.size.gpus(plan.study.resources) for one in plan.configurations] == [0.25, 0.25]
    assert plan.parallel == 8


@pytest.mark.parametrize(
    ("needed", "part"), [(0.1, 0.125), (1.0, 0.125), (1.01, 0.25), (4.0, 0.5), (6.0, 0.75), (6.1, 1.0), (9.0, 1.0)]
)
def test_parts_of_a_gpu_are_eighths_and_never_less_than_is_needed(needed: float, part: float) -> None:
    assert gpu_part(needed * 1e9, 8e9) == part


def test_trials_fill_the_slots_that_get_free() -> None:
    assert wall_seconds([(10.0, 4)], 2) == 20.0
    assert wall_seconds([(10.0, 1), (1.0, 10)], 2) == 10.0
    assert wall_seconds([], 2) == 0.0


def test_a_thousand_trials_of_two_networks_are_two_configurations(given: Given) -> None:
    rates = Grid(*(10 ** (-2 - index / 100) for index in range(100)))
    wanted = given(train={"model.lc_depth": Grid(0, 1), "train.learning_rate": rates}, replicates=5)
    plan = build_plan(wanted)
    assert plan.totals.trials == 1000
    assert len(plan.configurations) == 2


def test_networks_that_are_too_many_to_work_out_are_left_for_the_next_plan(
    given: Given, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("USPLIT_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(plan_module, "costs_of", lambda runs: costs_of(runs, seconds=0.0))
    plan = build_plan(given())
    assert all(one.size.cost is None for one in plan.configurations)
    assert any("plan again" in line for line in warnings(plan))
    assert "?" in text_of(plan)


def text_of(plan: Plan) -> str:
    from rich.console import Console

    console = Console(width=100)
    with console.capture() as captured:
        console.print(configurations_table(plan.configurations))
        console.print(ranges_table(plan.configurations))
    return captured.get()


def test_the_tables_fit_into_a_hundred_columns(given: Given, measured: Callable[..., None]) -> None:
    measured(1.0)
    text = text_of(build_plan(given(base={"train.epochs": 20_000})))
    assert max(map(len, text.splitlines())) <= 100
    for expected in ("regular lc1 P16", "parameters", "median", "100,000", "43 h"):
        assert expected in text
