"""The runs of one experiment: each is found by what it is about, and made where there is none."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run

from study.tracking.client import send
from study.tracking.rows import Row
from usplit_core import __version__

_PAGE = 1000

#: Tag: ``false`` of a run that its study no longer has, such as of a level that was taken out.
IN_STUDY = "usplit.in_study"


class Key(NamedTuple):
    """What a run is about: its kind (trial, evaluation or cell), of which trial or cell, under which tiling."""

    kind: str
    fingerprint: str
    evaluation: str = ""


@dataclass
class KnownRun:
    """What is known to be in a run."""

    identity: str
    status: str = "RUNNING"
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    #: Highest step of metrics that grow, as far as it has been asked for.
    last_steps: dict[str, int] = field(default_factory=dict)
    is_new: bool = False


def is_part(run: KnownRun) -> bool:
    """Say whether the study still has what a run is about."""
    return run.tags.get(IN_STUDY) != "false"


class Runs:
    """The runs of an experiment, read when they are first needed."""

    def __init__(self, client: MlflowClient, experiment: str, study: str) -> None:
        self._client = client
        self._experiment = experiment
        self._study = study
        self._known: dict[Key, KnownRun] | None = None

    def forget(self) -> None:
        """Believe nothing any more: a call that failed may still have been carried out."""
        self._known = None

    @property
    def _runs(self) -> dict[Key, KnownRun]:
        if self._known is None:
            known: dict[Key, KnownRun] = {}
            for run in self._read():
                self._keep(run, known)
            self._known = known
        return self._known

    def _read(self) -> Iterator[Run]:
        token: str | None = None
        while True:
            order = ["attributes.start_time ASC"]
            page = self._client.search_runs([self._experiment], max_results=_PAGE, page_token=token, order_by=order)
            yield from page
            token = page.token
            if not token:
                return

    def _keep(self, run: Run, known: dict[Key, KnownRun]) -> None:
        info, data = run.info, run.data
        if "usplit.kind" not in data.tags:
            return  # somebody's own
        key = Key(
            data.tags["usplit.kind"], data.tags.get("usplit.fingerprint", ""), data.tags.get("usplit.evaluation", "")
        )
        # What a broken connection leaves behind: a run made twice, or one that never got its contents.
        if key in known or (key.kind != "trial" and info.status != "FINISHED"):
            self._client.delete_run(info.run_id)
            return
        known[key] = KnownRun(info.run_id, info.status, dict(data.tags), dict(data.params), dict(data.metrics))

    def find(self, key: Key) -> KnownRun | None:
        """Return the run, or None."""
        return self._runs.get(key)

    def all(self) -> list[tuple[Key, KnownRun]]:
        """Return every run of the experiment that this package wrote."""
        return list(self._runs.items())

    def of_kind(self, kind: str) -> list[str]:
        """Return the identities of all runs of a kind that are part of the study."""
        return [run.identity for key, run in self._runs.items() if key.kind == kind and is_part(run)]

    def create(self, key: Key, *, cell: str, name: str, start_ms: int) -> KnownRun:
        """Make a run, below that of its trial if it is an evaluation."""
        parent = self.find(Key("trial", key.fingerprint))
        tags = {
            "usplit.kind": key.kind,
            "usplit.fingerprint": key.fingerprint,
            "usplit.cell": cell,
            "usplit.study": self._study,
            "usplit.version": __version__,
            "mlflow.user": os.environ.get("USER", ""),
            "mlflow.source.name": "usplit",
        }
        if key.evaluation:
            tags["usplit.evaluation"] = key.evaluation
        if key.kind == "evaluation" and parent is not None:
            tags["mlflow.parentRunId"] = parent.identity
        run = self._client.create_run(self._experiment, run_name=name, tags=tags, start_time=start_ms)
        self._runs[key] = KnownRun(run.info.run_id, tags=tags, is_new=True)
        return self._runs[key]

    def log(
        self,
        run: KnownRun,
        rows: Sequence[Row] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log what a run lacks, in one call where it fits."""
        lacking = {name: text for name, text in (params or {}).items() if name not in run.params}
        changed = {name: text for name, text in (tags or {}).items() if run.tags.get(name) != text}
        send(self._client, run.identity, rows, lacking, changed)
        run.params.update(lacking)
        run.tags.update(changed)
        for row in rows:
            run.metrics.update(row.metrics)
            run.last_steps.update(dict.fromkeys(row.metrics, row.step))

    def last_step(self, run: KnownRun, key: str) -> int:
        """Return the highest step of a metric that a run has; 0 if none."""
        if key not in run.last_steps:
            known = key in run.metrics and not run.is_new
            history = self._client.get_metric_history(run.identity, key) if known else []
            run.last_steps[key] = max((metric.step for metric in history), default=0)
        return run.last_steps[key]

    def reopen(self, run: KnownRun) -> None:
        """Let a run that has ended go on."""
        if run.status != "RUNNING":
            self._client.update_run(run.identity, "RUNNING")
            run.status = "RUNNING"

    def end(self, run: KnownRun, status: str, end_ms: int | None = None) -> None:
        """End a run as FINISHED, FAILED or KILLED; `end_ms` None = now."""
        self._client.set_terminated(run.identity, status, end_ms)
        run.status = status

    def delete(self, key: Key) -> None:
        """Delete a run."""
        self._client.delete_run(self._runs[key].identity)
        del self._runs[key]
