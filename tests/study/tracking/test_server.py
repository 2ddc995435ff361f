"""The notebook on a tracking server that is stopped in the middle of a study.

Behind it are SQLite and an object store, or PostgreSQL and a folder.
"""

import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient

from study.tracking.client import connect
from tests.study.sharing.object_server import BUCKET, object_server
from tests.study.test_interruption import LONGER
from tests.study.test_run import usplit
from tests.study.tracking.postgres import postgres
from tests.study.tracking.server import TrackingServer


@pytest.fixture(
    params=[
        pytest.param("sqlite", marks=pytest.mark.slow),
        pytest.param("postgresql", marks=[pytest.mark.postgres]),
    ]
)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrackingServer]:
    """Yield a running tracking server."""
    with ExitStack() as running:
        files, environment = str(tmp_path / "served"), {}
        if request.param == "sqlite":
            address = f"sqlite:///{tmp_path / 'server.db'}"
            objects = running.enter_context(object_server(tmp_path / "objects.log"))
            files = f"s3://{BUCKET}/mlflow"
            endpoint = objects.environment["AWS_ENDPOINT_URL"]
            environment = {**objects.environment, "MLFLOW_S3_ENDPOINT_URL": endpoint}
        else:
            address = running.enter_context(postgres())
        started = TrackingServer(tmp_path, address, files=files, environment=environment)
        try:
            started.start()
            yield started
        finally:
            started.stop()


def _kinds(client: MlflowClient, study: str) -> Counter[str]:
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:") for run in runs)
    for run in runs:
        for key in run.data.metrics:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
            assert len(steps) == len(set(steps)), (run.info.run_name, key)
        if run.data.tags["usplit.kind"] == "trial":
            history = client.get_metric_history(run.info.run_id, "validation/psnr_db")
            assert [point.step for point in history] == list(range(1, 13))
    return Counter(run.data.tags["usplit.kind"] for run in runs)


def test_a_server_that_goes_away_during_a_study_gets_everything_once_when_it_is_back(
    server: TrackingServer, space: Path, tmp_path: Path
) -> None:
    store, study = tmp_path / "store", f"small-{uuid.uuid4().hex[:8]}"
    arguments = ["run", str(space), "--store", str(store), *LONGER[:-1], study, "--tracking-uri", server.uri]
    process = subprocess.Popen(
        [sys.executable, "-m", "study", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    log = store / "studies" / study / "log.jsonl"
    deadline = time.monotonic() + 180
    while not (log.exists() and '"epoch": 3' in log.read_text()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)  # the file grows at the pace of the trainings; nothing else tells
    server.stop()
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0, output
    assert "is sent when the study is run again" in " ".join(output.split())
    assert "Traceback" not in output
    assert len(list(store.glob("trials/*/result.json"))) == 4

    server.start()
    again = usplit("run", space, "--store", store, *LONGER[:-1], study)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing was trained" in again.stdout
    assert _kinds(connect(server.uri), study) == {"trial": 4, "evaluation": 8, "cell": 4}
    assert not (store / "mlflow.db").exists()

    image = store / "studies" / study / "best_superimposed.tif"
    split = usplit("predict", f"models:/{study}/1", image, "--padding", 4, "--store", store, "--out", tmp_path / "out")
    assert split.returncode == 0, split.stdout + split.stderr
    assert list((tmp_path / "out").iterdir())
