"""Trials that have been computed, in milliseconds, for the tests of what is shown of them."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run

from study.engine.trial_folder import write_evaluation, write_record, write_result
from study.planning.design import PlannedTrial
from study.planning.fingerprint import evaluation_key
from study.spec import Grid, Study
from study.store import Store
from study.tracking.tracker import Tracker
from tests.usplit_core.trainings import tiny_fit, tiny_parts, tiny_run
from usplit_core.config import TilingConfig

TILINGS = (TilingConfig(mode="inner", padding_px=4), TilingConfig(mode="outer", padding_px=4))
STUDY = Study(
    name="tiny",
    question="Does the notebook hold everything?",
    base={"data.path": "none.tif"},
    evaluate={"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(4)},
    replicates=2,
)


def planned(seed: int) -> PlannedTrial:
    """Return a trial of the cell ``cell``, named by its seed."""
    return PlannedTrial(f"trial{seed}", "cell", f"regular lc1 P16 seed{seed}", tiny_run(train__seed=seed), TILINGS)


def score(seed: int, tiling: TilingConfig) -> float:
    """Return the score that a trial pretends to have reached."""
    return 30.0 + seed + (0.5 if tiling.mode == "inner" else 0.0)


def write_training(folder: Path) -> Path:
    """Fill a folder with a trained network and its record."""
    run = tiny_run()
    result = tiny_fit(run, folder)
    write_result(folder, {"stopped": "finished", "best_epoch": result.best_epoch, "cost": result.cost})
    parts, _ = tiny_parts(run)
    record: dict[str, Any] = {
        "run": run.model_dump(mode="json"),
        "attempt": "1-abc",
        "data": {"content": "0123456789abcdef" * 2, "channels": ["a", "b"], "split": parts.record},
        "versions": {"usplit": "1", "numerics": 1, "torch": "2", "python": "3.11.7"},
        "host": "node7",
        "device": "x86_64",
    }
    write_record(folder, record)
    return folder


def add_evaluations(folder: Path, seed: int) -> None:
    """Write the scores and samples of both tilings."""
    images = np.arange(2 * 16 * 16, dtype=np.float32).reshape(2, 16, 16)
    for tiling in TILINGS:
        frames = [{"frame": 0, "channel": channel, "psnr_db": 20.0 + channel} for channel in (0, 1)]
        metrics = {
            "test/scale_invariant_psnr_db": score(seed, tiling),
            "test/ms_ssim": float("nan"),
            "test/seconds": 1.0,
        }
        scores = {"tiling": tiling.model_dump(), "metrics": metrics, "frames": frames}
        sample = {"input": images[0], "target": images, "prediction": images + 1}
        write_evaluation(folder, evaluation_key(tiling), scores, sample)


def fill(store: Store, training: Path, *seeds: int) -> list[PlannedTrial]:
    """Put computed trials into a store; `training` comes from `write_training`."""
    trials = [planned(seed) for seed in seeds]
    for seed, trial in zip(seeds, trials, strict=True):
        folder = store.trial_folder(trial.fingerprint)
        shutil.copytree(training, folder)
        add_evaluations(folder, seed)
    return trials


def runs(store: Store, kind: str) -> list[Run]:
    """Return the runs of one kind."""
    client = MlflowClient(store.tracking_uri)
    experiment = client.get_experiment_by_name(STUDY.name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`usplit.kind` = '{kind}'"))


def files(store: Store, run: Run) -> dict[str, Path]:
    """Return the files of a run by their path below it."""
    folder = Path(str(run.info.artifact_uri).removeprefix("file://"))
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def finish(tracker: Tracker, store: Store, trials: list[PlannedTrial], state: str = "finished") -> None:
    """Settle the books as the driver does at the end."""
    for trial in trials:
        tracker.sync_trial(trial, store.trial_folder(trial.fingerprint), state=state)
    tracker.log_cells(trials, store.trial_folder)
    tracker.end_orphans()


def contents(store: Store) -> dict[str, int]:
    """Return how many runs that are not deleted, parameters and metric values the database holds."""
    living = "run_uuid IN (SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active')"
    with sqlite3.connect(store.root / "mlflow.db") as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table} WHERE {living}").fetchone()[0]
            for table in ("runs", "params", "metrics", "tags")
        }


def doubled_steps(store: Store) -> int:
    """Return how many steps have two values of one metric."""
    query = "SELECT count(*) FROM (SELECT 1 FROM metrics GROUP BY run_uuid, key, step HAVING count(*) > 1)"
    with sqlite3.connect(store.root / "mlflow.db") as connection:
        return int(connection.execute(query).fetchone()[0])
