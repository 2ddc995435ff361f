"""A study from its file to its report, as a user runs it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from study.engine.ledger import read_statuses

pytestmark = pytest.mark.slow


def usplit(*arguments: object, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "study", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def count_runs(store: Path) -> dict[str, int]:
    query = (
        "SELECT value, count(*) FROM tags JOIN runs USING (run_uuid) "
        "WHERE key = 'usplit.kind' AND lifecycle_stage = 'active' GROUP BY value"
    )
    with sqlite3.connect(store / "mlflow.db") as connection:
        return dict(connection.execute(query).fetchall())


def test_a_study_runs_once_and_answers_again_from_its_store(space: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = usplit("run", space, "--store", store)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Trained 4, evaluated 8" in first.stdout
    assert "Traceback" not in first.stderr
    statuses = read_statuses(store / "ledger.sqlite", "small")
    assert [status.state for status in statuses] == ["finished"] * 4
    assert sum(status.evaluations_done for status in statuses) == 8
    assert count_runs(store) == {"trial": 4, "evaluation": 8, "cell": 4}
    folder = store / "studies" / "small"
    assert (folder / "report.html").stat().st_size > 10_000
    for name in ("best.safetensors", "best_split.tif", "figures/learning_curves.pdf", "figures/qualitative.png"):
        assert (folder / name).exists(), name

    models = {path: path.stat().st_mtime_ns for path in store.glob("trials/*/*.safetensors")}
    again = usplit("run", space, "--store", store)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing was trained" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in store.glob("trials/*/*.safetensors")} == models
    assert count_runs(store) == {"trial": 4, "evaluation": 8, "cell": 4}

    more = usplit("run", space, "--store", store, "--set", "tiling.padding_px=2,4", "--name", "more")
    assert more.returncode == 0, more.stdout + more.stderr
    assert "Trained 0, evaluated 8" in more.stdout
    assert {path: path.stat().st_mtime_ns for path in store.glob("trials/*/*.safetensors")} == models
    assert count_runs(store) == {"trial": 8, "evaluation": 24, "cell": 12}

    image = folder / "best_superimposed.tif"
    split = usplit("predict", folder / "best.safetensors", image, "--padding", 4, "--out", tmp_path / "out")
    assert split.returncode == 0, split.stdout + split.stderr
    assert (tmp_path / "out" / "best_superimposed_split.ome.tif").exists()
