"""The only reader of the tracking store: MLflow experiments and runs in, typed rows out.

The layout (experiment tags, run tags, parameters, metrics, artifacts) is the one that
``study/tracking/tracker.py`` writes.
"""

import gc
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import numpy as np
from mlflow.artifacts import download_artifacts
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from analysis.description import study_record
from analysis.records import Evaluation, FrameScore, Point, Sample, Settings, State, StudyRecord, Trial
from usplit_core.config import EVALUATION_SECTIONS
from usplit_core.errors import ConfigError, UserError, nearest
from usplit_core.settings import DEFAULT_VALUES, SETTINGS, Setting, parse_setting

Row = TypeVar("Row", Trial, Evaluation)
Content = TypeVar("Content")

_TILING = [name for name in SETTINGS if name.partition(".")[0] in EVALUATION_SECTIONS]
_TAGS = {"mlflow.source.git.commit": "commit"}
_NO_FRAMES: tuple[FrameScore, ...] = ()
_PAGE = 1000  # runs a call: far below the 50 000 that the store accepts, and small enough for a slow server


class StudyName(NamedTuple):
    """One line of a list of studies."""

    name: str
    question: str


def list_studies(tracking_uri: str) -> tuple[StudyName, ...]:
    """Return the studies in the store, the newest first.

    Raises
    ------
    UserError
        If there is no such store.
    """
    experiments = _experiments(_open(tracking_uri))
    return tuple(StudyName(experiment.name, _question(experiment)) for experiment in experiments)


def read_study(tracking_uri: str, study: str) -> StudyRecord:
    """Read the study named `study`; histories, scores of frames and samples are fetched only when asked for.

    Parameters
    ----------
    tracking_uri
        ``sqlite:///ABSOLUTE/PATH/mlflow.db`` or the address of an MLflow server.
    study
        Name of the study, which is the name of its experiment.

    Raises
    ------
    UserError
        If there is no such store, or no such study; names the nearest one.
    """
    client = _open(tracking_uri)
    experiments = {experiment.name: experiment for experiment in _experiments(client)}
    if study not in experiments:
        remedy = nearest(study, experiments) if experiments else "it holds no study yet: start one with `usplit run`."
        raise UserError(f"there is no study {study!r} in {tracking_uri}; {remedy}")
    experiment = experiments[study]
    with _no_collection():
        return _record(client, tracking_uri, experiment)


def _record(client: MlflowClient, tracking_uri: str, experiment: Experiment) -> StudyRecord:
    plan = json.loads(experiment.tags["usplit.study"])
    runs = list(_runs(client, experiment.experiment_id))
    trials = {run.info.run_id: _trial(client, run) for run in _of_kind(runs, "trial")}
    return study_record(
        {**plan, "name": experiment.name, "question": _question(experiment)},
        trials=_newest(trials.values(), lambda trial: trial.fingerprint),
        evaluations=_newest(
            (_evaluation(tracking_uri, run, trials) for run in _of_kind(runs, "evaluation")),
            lambda row: (row.trial, tuple(row.settings.get(name) for name in _TILING)),
        ),
        tracking_uri=tracking_uri,
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let the garbage collector rest: it would look again and again at hundreds of thousands of rows that all stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _open(tracking_uri: str) -> MlflowClient:
    """Connect without creating anything: MLflow itself would make an empty store out of a mistyped path."""
    if tracking_uri.startswith("sqlite:///") and not Path(tracking_uri.removeprefix("sqlite:///")).is_file():
        raise UserError(f"there is no store at {tracking_uri}: name the folder that `usplit run` wrote")
    # A progress bar for each file of a few kilobytes says nothing.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        # MLflow declares its tables with a loader that SQLAlchemy 2.1 deprecates; nothing a user could act upon.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        try:
            client = MlflowClient(tracking_uri=tracking_uri)
            client.search_experiments(max_results=1)
        except Exception as error:  # of a file that is no database, the library of databases says so in its own words
            raise UserError(
                f"the store {tracking_uri} cannot be read ({error}): check the address, and that its server is running"
            ) from error
    return client


def _experiments(client: MlflowClient) -> Iterator[Experiment]:
    token = None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token, order_by=["creation_time DESC"])
        yield from (experiment for experiment in page if "usplit.study" in experiment.tags)
        token = page.token
        if not token:
            return


def _runs(client: MlflowClient, experiment_id: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], max_results=_PAGE, page_token=token, order_by=["attributes.start_time DESC"]
        )
        yield from page
        token = page.token
        if not token:
            return


def _of_kind(runs: Iterable[Run], kind: str) -> list[Run]:
    """Return the runs of a kind that the study still has; of a level that was taken out the store keeps them."""
    return [
        run
        for run in runs
        if run.data.tags.get("usplit.kind") == kind and run.data.tags.get("usplit.in_study") != "false"
    ]


def _newest(rows: Iterable[Row], identity: Callable[[Row], Hashable]) -> tuple[Row, ...]:
    """Keep one row an identity: the store lists the newest first."""
    kept: dict[Hashable, Row] = {}
    for row in rows:
        kept.setdefault(identity(row), row)
    return tuple(kept.values())


def _question(experiment: Experiment) -> str:
    plan = json.loads(experiment.tags["usplit.study"])
    return str(plan.get("question") or experiment.tags.get("mlflow.note.content", ""))


def _settings(run: Run) -> Settings:
    # A setting that came after the run was written had its default when it was written.
    return {**DEFAULT_VALUES, **{name: _typed(name, text) for name, text in run.data.params.items()}}


@lru_cache(maxsize=4096)
def _typed(name: str, text: str) -> Setting:
    """Type a parameter by the schema; what another version wrote and this one does not know stays text."""
    if name not in SETTINGS:
        return text
    try:
        return parse_setting(name, text)
    except ConfigError:
        return text


def _metrics(run: Run) -> dict[str, float]:
    # SQL stores hold an infinite value as the largest float.
    largest = sys.float_info.max
    return {
        key: math.copysign(math.inf, value) if abs(value) >= largest else value
        for key, value in run.data.metrics.items()
    }


def _trial(client: MlflowClient, run: Run) -> Trial:
    tags = run.data.tags
    return Trial(
        fingerprint=tags.get("usplit.fingerprint", run.info.run_id),
        run_id=run.info.run_id,
        cell=tags.get("usplit.cell", ""),
        settings=_settings(run),
        state=cast(State, tags.get("usplit.state", "running")),
        reason=tags.get("usplit.reason", ""),
        metrics=_metrics(run),
        history=partial(_read_history, client, run.info.run_id),
        started=(run.info.start_time or 0) / 1000,
        tags={_TAGS.get(key, key.removeprefix("usplit.")): tags[key] for key in tags if _is_kept(key)},
    )


def _is_kept(tag: str) -> bool:
    return tag in _TAGS or tag.startswith("usplit.")


def _evaluation(tracking_uri: str, run: Run, trials: Mapping[str, Trial]) -> Evaluation:
    parent = trials.get(run.data.tags.get("mlflow.parentRunId", ""))
    return Evaluation(
        trial=parent.fingerprint if parent else run.data.tags.get("usplit.fingerprint", ""),
        run_id=run.info.run_id,
        settings=_settings(run),
        metrics=_metrics(run),
        frames=partial(_read_artifact, tracking_uri, f"{run.info.artifact_uri}/frames.json", _frames, _NO_FRAMES),
        sample=partial(_read_artifact, tracking_uri, f"{run.info.artifact_uri}/sample.npz", _sample, None),
    )


def _read_history(client: MlflowClient, run_id: str, key: str) -> tuple[Point, ...]:
    # A step that was reported twice, by a trial that resumed, counts with its last value.
    history = sorted(client.get_metric_history(run_id, key), key=lambda metric: (metric.step, metric.timestamp))
    return tuple(Point(step, value) for step, value in {metric.step: metric.value for metric in history}.items())


def _read_artifact(tracking_uri: str, uri: str, read: Callable[[Path], Content], absent: Content) -> Content:
    """Return what `read` makes of the file at `uri`, or `absent` where the run has none.

    The client would ask the store for the run several times before each file; where its files lie is known already.
    """
    is_here = uri.startswith(("file:", "/"))
    with nullcontext() if is_here else tempfile.TemporaryDirectory() as folder:
        try:
            path = Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=tracking_uri))
        except (MlflowException, OSError):
            return absent
        return read(path)


def _frames(path: Path) -> tuple[FrameScore, ...]:
    return tuple(
        FrameScore(
            int(row["frame"]),
            int(row["channel"]),
            {key.removeprefix("test/"): float(row[key]) for key in row if key not in ("frame", "channel")},
        )
        for row in json.loads(path.read_text(encoding="utf-8"))
    )


def _sample(path: Path) -> Sample | None:
    with np.load(path, allow_pickle=False) as arrays:
        names = tuple(str(name) for name in arrays["channels"]) if "channels" in arrays else ()
        return Sample(arrays["input"], arrays["prediction"], arrays["target"], names, arrays.get("calibration"))
