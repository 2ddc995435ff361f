"""What the notebook holds after a study."""

import json
import math
import re
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
from matplotlib.image import imread
from mlflow import MlflowClient

from analysis.store import read_study
from study.store import Store
from study.tracking.client import connect
from study.tracking.experiment import link_comparisons
from study.tracking.tracker import LOG_LAST, Tracker
from tests.study.tracking.trials import (
    STUDY,
    TILINGS,
    add_evaluations,
    contents,
    doubled_steps,
    files,
    fill,
    finish,
    runs,
    score,
)
from usplit_core.settings import flatten
from usplit_core.training import read_history
from usplit_core.vocabulary import metric

PSNR = "validation/psnr_db"


def test_a_finished_trial_shows_its_settings_its_epochs_and_where_it_ran(store: Store, training: Path) -> None:
    trials = fill(store, training, 0)
    tracker = Tracker(store, STUDY)
    tracker.open_trial(trials[0], {"usplit.host": "elsewhere"})
    finish(tracker, store, trials)
    (run,) = runs(store, "trial")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "regular lc1 P16 seed0")
    assert run.data.params["model.lc_depth"] == "1"
    assert not any(name.startswith("tiling.") for name in run.data.params)
    tags = {name.removeprefix("usplit."): text for name, text in run.data.tags.items()}
    assert {name: tags[name] for name in ("study", "state", "host", "device", "torch", "python", "cell")} == {
        "study": "tiny", "state": "finished", "host": "node7", "device": "x86_64",
        "torch": "2", "python": "3.11.7", "cell": "cell",
    }  # fmt: skip
    assert tags["data"] == "0123456789abcdef" * 2
    client = MlflowClient(store.tracking_uri)
    history = client.get_metric_history(run.info.run_id, PSNR)
    assert [point.step for point in history] == [1, 2, 3, 4]
    assert [point.value for point in history] == [report.metrics[PSNR] for report in read_history(training)]
    assert {metric(key).key for key in run.data.metrics} == set(run.data.metrics)
    keys = {"train/kl/0", "train/gradient_norm", "train/learning_rate", "train/patches_per_second",
            "validation/psnr_db/1", "cost/peak_host_bytes", "cost/train_seconds"}  # fmt: skip
    for key in keys:
        assert len(client.get_metric_history(run.info.run_id, key)) == 4, key
    assert len(client.get_metric_history(run.info.run_id, "cost/parameters")) == 1
    times = [point.timestamp for point in history]
    assert times == sorted(times)
    assert run.info.start_time <= times[0] <= times[-1] == run.info.end_time


def test_the_files_of_a_trial_are_its_model_and_all_that_went_into_it(
    store: Store, training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOG_LAST, "true")
    finish(Tracker(store, STUDY), store, fill(store, training, 0))
    found = files(store, runs(store, "trial")[0])
    assert set(found) == {
        "record.json", "config.json", "split.json", "statistics.json", "learning_curves.png",
        "model/MLmodel", "model/best.safetensors", "last.safetensors",
    }  # fmt: skip
    assert found["model/best.safetensors"].read_bytes() == (training / "best.safetensors").read_bytes()
    assert json.loads(found["config.json"].read_text())["model"]["lc_depth"] == 1
    assert "input_mean" in json.loads(found["statistics.json"].read_text())
    assert imread(found["learning_curves.png"]).std() > 0
    assert not list(store.root.glob(".tracking-*"))


def test_what_a_killed_driver_left_of_its_files_is_removed(store: Store) -> None:
    left = store.root / ".tracking-0123"
    left.mkdir()
    (left / "last.safetensors").write_bytes(b"large")
    Tracker(store, STUDY)
    assert not left.exists()


def test_a_trial_says_which_images_it_has_used(store: Store, training: Path) -> None:
    finish(Tracker(store, STUDY), store, fill(store, training, 0))
    for kind, context in (("trial", "training"), ("evaluation", "evaluation")):
        inputs = runs(store, kind)[0].inputs
        assert inputs is not None
        (used,) = inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("none.tif", "0123456789abcdef" * 2)
        assert json.loads(used.dataset.source) == {"uri": "none.tif"}
        assert [tag.value for tag in used.tags] == [context]


def test_an_evaluation_carries_the_settings_of_its_trial_and_its_own(store: Store, training: Path) -> None:
    (trial,) = fill(store, training, 0)
    finish(Tracker(store, STUDY), store, [trial])
    evaluations = runs(store, "evaluation")
    assert {run.data.params["tiling.mode"] for run in evaluations} == {"inner", "outer"}
    parent = runs(store, "trial")[0].info.run_id
    for run in evaluations:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent
        assert set(flatten(trial.run)) <= set(run.data.params)
        found = files(store, run)
        assert set(found) == {"frames.json", "frames.csv", "sample.npz", "panel.png"}
        assert found["frames.csv"].read_text().splitlines() == ["frame,channel,psnr_db", "0,0,20.0", "0,1,21.0"]
        # Input beside the target and the prediction of two structure channels, gaps of 4 px between them.
        assert imread(found["panel.png"]).shape[:2] == (2 * 16 + 4, 3 * 16 + 8)


def test_what_is_written_is_what_analysis_reads(store: Store, training: Path) -> None:
    trials = fill(store, training, 0, 1)
    finish(Tracker(store, STUDY), store, trials)
    record = read_study(store.tracking_uri, "tiny")
    assert record.question == STUDY.question
    assert {trial.fingerprint: trial.state for trial in record.trials} == {"trial0": "finished", "trial1": "finished"}
    assert len(record.evaluations) == 4
    assert all(len(evaluation.frames()) == 2 for evaluation in record.evaluations)
    assert len(record.trials[0].history(PSNR)) == 4


def test_a_pruned_trial_is_never_taken_for_a_finished_one(store: Store, training: Path) -> None:
    whole, pruned = fill(store, training, 0, 1)
    tracker = Tracker(store, STUDY)
    tracker.sync_trial(whole, store.trial_folder("trial0"), state="finished")
    tracker.sync_trial(pruned, store.trial_folder("trial1"), state="pruned", reason="stopped early after epoch 4")
    tracker.log_cells([whole, pruned], store.trial_folder)
    tracker.end_orphans()
    found = {run.data.tags["usplit.fingerprint"]: run for run in runs(store, "trial")}
    assert found["trial1"].info.status == "KILLED"
    assert found["trial1"].data.tags["usplit.state"] == "pruned"
    assert found["trial1"].data.tags["usplit.reason"] == "stopped early after epoch 4"
    assert "model/best.safetensors" in files(store, found["trial1"])
    assert {run.data.tags["usplit.fingerprint"] for run in runs(store, "evaluation")} == {"trial0"}
    assert {run.data.metrics["n"] for run in runs(store, "cell")} == {1.0}


def test_a_cell_holds_mean_standard_error_and_n_and_follows_its_replicates(store: Store, training: Path) -> None:
    tracker, name = Tracker(store, STUDY), "test/scale_invariant_psnr_db"
    trials = fill(store, training, 0, 1)
    finish(tracker, store, trials)
    trials += fill(store, training, 5)
    finish(tracker, store, trials)
    cells = {run.data.params["tiling.mode"]: run for run in runs(store, "cell")}
    assert set(cells) == {"inner", "outer"}
    values = [score(seed, TILINGS[0]) for seed in (0, 1, 5)]
    numbers = cells["inner"].data.metrics
    assert numbers[f"{name}.mean"] == pytest.approx(np.mean(values))
    assert numbers[f"{name}.standard_error"] == pytest.approx(np.std(values, ddof=1) / math.sqrt(3))
    assert numbers[f"{name}.n"] == numbers["n"] == 3
    assert "test/ms_ssim.mean" not in numbers
    assert cells["inner"].info.run_name == "regular lc1 P16 inner-4px-1 (mean)"
    assert "train.seed" not in cells["inner"].data.params
    # The same number of replicates with other scores is another mean.
    add_evaluations(store.trial_folder("trial5"), seed=9)
    finish(tracker, store, trials)
    inner = next(run for run in runs(store, "cell") if run.data.params["tiling.mode"] == "inner")
    assert inner.data.metrics[f"{name}.mean"] == pytest.approx(np.mean([score(seed, TILINGS[0]) for seed in (0, 1, 9)]))


def test_writing_again_changes_nothing(store: Store, training: Path) -> None:
    trials = fill(store, training, 0, 1)
    finish(Tracker(store, STUDY), store, trials)
    before = contents(store)
    assert before["runs"] == 2 + 4 + 2
    finish(Tracker(store, STUDY), store, trials)
    assert contents(store) == before
    assert doubled_steps(store) == 0


def test_what_a_study_no_longer_has_is_in_no_record_until_it_has_it_again(store: Store, training: Path) -> None:
    trials = fill(store, training, 0, 1)
    one_tiling = [trial._replace(tilings=TILINGS[:1]) for trial in trials]
    for present, fingerprints, evaluations in (
        (trials, {"trial0", "trial1"}, 4),
        (trials[:1], {"trial0"}, 2),
        (one_tiling, {"trial0", "trial1"}, 2),
        (trials, {"trial0", "trial1"}, 4),
    ):
        tracker = Tracker(store, STUDY)
        tracker.mark_parts(present)
        finish(tracker, store, present)
        tracker.mark_parts(present)
        record = read_study(store.tracking_uri, "tiny")
        assert {trial.fingerprint for trial in record.finished} == fingerprints
        assert len(record.evaluations) == evaluations
        assert {row.trial for row in record.evaluations} == fingerprints
    assert len(runs(store, "trial")) == 2


def test_the_note_of_the_experiment_links_to_the_comparison_of_all_evaluations(store: Store, training: Path) -> None:
    finish(Tracker(store, STUDY), store, fill(store, training, 0, 1))
    (experiment,) = MlflowClient(store.tracking_uri).search_experiments(filter_string=f"name = '{STUDY.name}'")
    question, *links = experiment.tags["mlflow.note.content"].split("\n\n")
    assert question == STUDY.question
    compared = {}
    for link in links:
        found = re.fullmatch(r"\[Compare (.+)\]\(#/compare-runs\?(.+)\)", link)
        assert found is not None, link
        compared[found[1]] = set(json.loads(parse_qs(found[2])["runs"][0]))
    evaluations, cells = runs(store, "evaluation"), runs(store, "cell")
    assert compared == {
        f"{len(evaluations)} evaluations": {run.info.run_id for run in evaluations},
        f"{len(cells)} cells": {run.info.run_id for run in cells},
    }


def test_a_comparison_too_long_for_a_note_is_left_out(store: Store) -> None:
    client = connect(store.tracking_uri)
    identity = client.create_experiment("long")
    many, few = [f"{number:032x}" for number in range(150)], [f"{number:032x}" for number in range(3)]
    link_comparisons(client, identity, "Why?", {"evaluations": many, "cells": few})
    note = client.get_experiment(identity).tags["mlflow.note.content"]
    assert "Compare 3 cells" in note
    assert "evaluations" not in note
