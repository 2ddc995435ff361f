"""The only writer of MLflow: one experiment a study, one run a trial, one nested run an evaluation.

Everything it writes is read from the trial folders, so the tracking store can be made again from
them, and writing twice changes nothing: runs are found by their fingerprint, and metrics are sent
only for epochs above the highest that a run already has.
"""

import json
import math
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from study.design import PlannedTrial
from study.fingerprint import evaluation_key
from study.spec import Study
from study.store import Store
from study.trial_folder import evaluation_folder, read_evaluation, read_result
from usplit_core import __version__
from usplit_core.config import TilingConfig
from usplit_core.settings import flatten, format_setting
from usplit_core.training import read_history
from usplit_core.vocabulary import MONITOR

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_PAGE = 1000


class Tracker:
    """Writes one study; the driver owns the only one."""

    def __init__(self, store: Store, study: Study) -> None:
        self._client = MlflowClient(store.tracking_uri)
        self._experiment = self._find_or_create_experiment(store, study)
        self._runs: dict[tuple[str, str, str], Run] = {}
        self._epochs_sent: dict[str, int] = {}
        self._load_runs()

    def _find_or_create_experiment(self, store: Store, study: Study) -> str:
        existing = self._client.get_experiment_by_name(study.name)
        if existing is None:
            artifacts = store.artifact_folder(study.name).as_uri()
            identity = self._client.create_experiment(study.name, artifact_location=artifacts)
        else:
            if existing.lifecycle_stage == "deleted":
                self._client.restore_experiment(existing.experiment_id)
            identity = existing.experiment_id
        self._client.set_experiment_tag(identity, "mlflow.note.content", study.question)
        # Without it the dashboard opens its pages for language models.
        self._client.set_experiment_tag(identity, "mlflow.experimentKind", "custom_model_development")
        self._client.set_experiment_tag(identity, "usplit.study", json.dumps(study.describe()))
        return str(identity)

    def _load_runs(self) -> None:
        token: str | None = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=_PAGE, page_token=token)
            for run in page:
                tags = run.data.tags
                key = (tags["usplit.kind"], tags.get("usplit.fingerprint", ""), tags.get("usplit.evaluation", ""))
                self._runs[key] = run
            token = page.token
            if not token:
                return

    def open_trial(self, trial: PlannedTrial, details: Mapping[str, str] | None = None) -> None:
        """Make the run of a trial, or go on with the one it has."""
        run = self._runs.get(("trial", trial.fingerprint, ""))
        if run is None:
            run = self._create("trial", trial, trial.label, flatten_texts(trial))
        elif run.info.status != "RUNNING":
            self._client.update_run(run.info.run_id, "RUNNING")
        self._tag(run, {"usplit.state": "running", **(details or {})})

    def log_epoch(self, fingerprint: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Send the metrics of one epoch, unless the run has them."""
        run_id = self._runs["trial", fingerprint, ""].info.run_id
        if epoch <= self._highest_epoch(run_id):
            return
        self._client.log_batch(run_id, metrics=_metrics(metrics, step=epoch))
        self._epochs_sent[run_id] = epoch

    def _highest_epoch(self, run_id: str) -> int:
        if run_id not in self._epochs_sent:
            history = self._client.get_metric_history(run_id, MONITOR.key)
            self._epochs_sent[run_id] = max((metric.step for metric in history), default=-1)
        return self._epochs_sent[run_id]

    def sync_trial(self, trial: PlannedTrial, folder: Path, *, state: str, reason: str = "") -> None:
        """Bring a trial's runs up to what its folder holds, and end them.

        Parameters
        ----------
        trial, folder
            The trial and where its results lie.
        state
            finished, failed or interrupted.
        reason
            Why, where it did not finish.
        """
        run = self._runs.get(("trial", trial.fingerprint, ""))
        if run is None or run.data.tags.get("usplit.state") != state:
            self.open_trial(trial)
            run = self._runs["trial", trial.fingerprint, ""]
            for report in read_history(folder):
                self.log_epoch(trial.fingerprint, report.epoch, report.metrics)
            result = read_result(folder)
            if result is not None:
                self._client.log_batch(run.info.run_id, metrics=_metrics(result["cost"], step=result["best_epoch"]))
            self._log_record(run, folder, {"usplit.state": state, "usplit.reason": reason})
            self._client.set_terminated(run.info.run_id, _STATUS[state])
        for key, tiling in zip(trial.evaluation_keys, trial.tilings, strict=True):
            scores = read_evaluation(folder, key)
            if scores is not None and ("evaluation", trial.fingerprint, key) not in self._runs:
                self._log_evaluation(trial, tiling, scores, folder)

    def _log_record(self, run: Run, folder: Path, tags: dict[str, str]) -> None:
        record_path = folder / "record.json"
        if record_path.exists():
            record = json.loads(record_path.read_text())
            tags |= {
                "usplit.host": record["host"],
                "usplit.device": record["device"],
                "usplit.attempt": record["attempt"],
                "usplit.data": record["data"]["content"],
                "usplit.version": record["versions"]["usplit"],
                "usplit.torch": record["versions"]["torch"],
            }
        self._tag(run, tags)
        for name in ("record.json", "best.safetensors"):
            if (folder / name).exists():
                self._client.log_artifact(run.info.run_id, str(folder / name))

    def _log_evaluation(
        self, trial: PlannedTrial, tiling: TilingConfig, scores: Mapping[str, Any], folder: Path
    ) -> None:
        key = evaluation_key(tiling)
        texts = flatten_texts(trial) | {
            f"tiling.{name}": format_setting(value) for name, value in tiling.model_dump().items()
        }
        run = self._create("evaluation", trial, f"{trial.label} {key}", texts, key)
        run_id = run.info.run_id
        self._client.log_batch(run_id, metrics=_metrics(scores["metrics"], step=0))
        self._client.log_dict(run_id, scores["frames"], "frames.json")
        sample = evaluation_folder(folder, key) / "sample.npz"
        if sample.exists():
            self._client.log_artifact(run_id, str(sample))
        self._tag(run, {"usplit.state": "finished"})
        self._client.set_terminated(run_id, "FINISHED")

    def log_cells(self, trials: Iterable[PlannedTrial], folder_of: Callable[[str], Path]) -> None:
        """Write one run for each cell and tiling: mean, standard error and n over its replicates."""
        scores: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
        examples: dict[tuple[str, str], tuple[PlannedTrial, TilingConfig]] = {}
        for trial in trials:
            for key, tiling in zip(trial.evaluation_keys, trial.tilings, strict=True):
                found = read_evaluation(folder_of(trial.fingerprint), key)
                if found is not None:
                    scores[trial.cell, key].append(found["metrics"])
                    examples.setdefault((trial.cell, key), (trial, tiling))
        for (cell, key), rows in scores.items():
            trial, tiling = examples[cell, key]
            self._log_cell(trial._replace(fingerprint=cell), tiling, key, rows)

    def _log_cell(self, trial: PlannedTrial, tiling: TilingConfig, key: str, rows: list[dict[str, float]]) -> None:
        run = self._runs.get(("cell", trial.fingerprint, key))
        if run is None:
            label = trial.label.rpartition(" seed")[0]
            texts = {name: text for name, text in flatten_texts(trial).items() if not name.endswith("seed")}
            texts |= {f"tiling.{name}": format_setting(value) for name, value in tiling.model_dump().items()}
            run = self._create("cell", trial, f"{label} {key} (mean)", texts, key)
        elif run.data.metrics.get("n") == len(rows):
            return
        metrics: dict[str, float] = {"n": len(rows)}
        for name in rows[0]:
            # A score that is not defined, such as the MS-SSIM of small frames, is NaN.
            values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
            if not values:
                continue
            metrics[f"{name}.mean"] = statistics.fmean(values)
            metrics[f"{name}.n"] = len(values)
            if len(values) > 1:
                metrics[f"{name}.standard_error"] = statistics.stdev(values) / len(values) ** 0.5
        self._client.log_batch(run.info.run_id, metrics=_metrics(metrics, step=len(rows)))
        self._client.set_terminated(run.info.run_id, "FINISHED")

    def delete_runs(self, fingerprint: str) -> None:
        """Delete the runs of a trial and of its evaluations."""
        for key in [key for key in self._runs if key[1] == fingerprint]:
            self._client.delete_run(self._runs.pop(key).info.run_id)

    def end_orphans(self) -> None:
        """End every run that still counts as running: no worker is alive when this is called."""
        for (kind, _, _), run in self._runs.items():
            info = self._client.get_run(run.info.run_id).info
            if info.status == "RUNNING":
                self._tag(run, {"usplit.state": "interrupted"} if kind == "trial" else {})
                self._client.set_terminated(run.info.run_id, "KILLED")

    def _create(self, kind: str, trial: PlannedTrial, name: str, texts: Mapping[str, str], evaluation: str = "") -> Run:
        tags = {
            "usplit.kind": kind,
            "usplit.fingerprint": trial.fingerprint,
            "usplit.cell": trial.cell,
            "usplit.version": __version__,
            "mlflow.user": os.environ.get("USER", ""),
            "mlflow.source.name": "usplit",
        }
        if evaluation:
            tags["usplit.evaluation"] = evaluation
        parent = self._runs.get(("trial", trial.fingerprint, ""))
        if kind == "evaluation" and parent is not None:
            tags["mlflow.parentRunId"] = parent.info.run_id
        run = self._client.create_run(self._experiment, run_name=name, tags=tags, start_time=int(time.time() * 1000))
        self._client.log_batch(run.info.run_id, params=[Param(name, text) for name, text in texts.items()])
        self._runs[kind, trial.fingerprint, evaluation] = run
        return run

    def _tag(self, run: Run, tags: Mapping[str, str]) -> None:
        self._client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        run.data.tags.update(tags)


def flatten_texts(trial: PlannedTrial) -> dict[str, str]:
    """Return the settings of a trial as MLflow parameters; its own tiling is left to its evaluations."""
    return {name: format_setting(value) for name, value in flatten(trial.run).items() if not name.startswith("tiling.")}


def _metrics(values: Mapping[str, float], *, step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for name, value in values.items()]


#: What a tracking store that cannot be reached raises.
TrackingError = MlflowException
