"""The connection to a tracking store: how it is opened, what its errors say, what fits into one call."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from study import environment
from study.errors import StoreError
from study.store import without_password
from study.tracking.rows import Row
from usplit_core.errors import UserError

#: Metrics in one call; a call may hold 1000 rows in all, parameters and tags included.
_METRICS_PER_CALL = 800
#: Characters of a tag; MLflow cuts longer ones without a word.
_TAG_LENGTH = 5000


class TrackingError(StoreError):
    """A tracking store that does not answer, or refuses what it is sent."""


def connect(uri: str) -> MlflowClient:
    """Return a client of the store at `uri`; nothing is asked of the store yet, except of a database."""
    environment.set_defaults()
    with reaching(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn what a store raises that cannot be reached into `TrackingError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # files of runs can lie in object stores, whose libraries raise errors of their own
        raise TrackingError(
            f"the tracking store {without_password(uri)} cannot be used ({_reason(error)}): check that its server "
            "runs; what it lacks is kept in the store and is sent when the study is run again"
        ) from error


def _reason(error: Exception) -> str:
    text = str(error)
    if "Max retries exceeded" in text:
        return "it does not answer"
    known = isinstance(error, MlflowException | OSError) and text
    return (text if known else f"{type(error).__name__}: {text}").splitlines()[0][:300]


def send(
    client: MlflowClient,
    run_id: str,
    rows: Sequence[Row] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log rows, parameters and tags of a run in as few calls as fit; a row is never torn apart."""
    batches = list(_batches(rows)) or [[]]
    more: dict[str, Any] = {
        "params": [Param(name, text) for name, text in (params or {}).items()],
        "tags": [RunTag(name, text[:_TAG_LENGTH]) for name, text in (tags or {}).items()],
    }
    if not batches[0] and not any(more.values()):
        return
    for batch in batches:
        client.log_batch(run_id, metrics=batch, **more)
        more = {}


def _batches(rows: Sequence[Row]) -> Iterator[list[Metric]]:
    batch: list[Metric] = []
    for row in rows:
        metrics = [Metric(name, float(value), row.time_ms, row.step) for name, value in row.metrics.items()]
        if batch and len(batch) + len(metrics) > _METRICS_PER_CALL:
            yield batch
            batch = []
        batch += metrics
    if batch:
        yield batch
