"""A study in one file: all comes back, with neither the store nor its artifacts."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.figures import FIGURES
from analysis.figures.overview import Overview
from analysis.freeze import write_frozen
from analysis.frozen import is_frozen, read_frozen
from analysis.records import MissingRuns, StudyRecord
from analysis.store import read_study
from analysis.tables import results_table
from tests.analysis.tiny_study import STUDY, TinyStore
from usplit_core.errors import OutputError, UserError

OVERVIEW = Overview(np.eye(8), np.ones((2, 8, 8)), np.zeros((2, 8, 8)), ("a", "b"), (0.0, 0.0, 4.0, 8.0), "a model")


@pytest.fixture(scope="module")
def frozen(tiny_store: TinyStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that was written from a copy of the store which is gone since."""
    folder = tmp_path_factory.mktemp("frozen")
    path = folder / "study.parquet"
    write_frozen(read_study(tiny_store.uri, STUDY), path, OVERVIEW)
    return path


@pytest.fixture
def read(frozen: Path, monkeypatch: pytest.MonkeyPatch) -> StudyRecord:
    """Return the frozen study as it is read where MLflow cannot be asked for anything."""

    def refuse(*_: object) -> None:
        raise AssertionError("the store was asked")

    for name in ("get_metric_history", "download_artifacts", "search_runs"):
        monkeypatch.setattr(f"mlflow.tracking.MlflowClient.{name}", refuse)
    return read_frozen(frozen).record


def same(left: Any, right: Any) -> bool:
    """Compare what figures hold, arrays included."""
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=True)
    if isinstance(left, tuple | list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right) or (left != left and right != right)


def outcome(name: str, record: StudyRecord) -> Any:
    """Return the data of a figure, or why there are none."""
    try:
        return FIGURES[name].data(record)
    except MissingRuns as missing:
        return str(missing)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_the_frozen_file_has_the_data_of_the_store(tiny_store: TinyStore, frozen: Path, name: str) -> None:
    assert same(outcome(name, read_frozen(frozen).record), outcome(name, read_study(tiny_store.uri, STUDY)))


def test_the_table_and_all_runs_come_back_without_the_store(record: StudyRecord, read: StudyRecord) -> None:
    assert results_table(read) == results_table(record)
    keep = (*StudyRecord._fields,)
    plain = [name for name in keep if name not in ("trials", "evaluations", "tracking_uri")]
    assert [getattr(read, name) for name in plain] == [getattr(record, name) for name in plain]
    fields = ("fingerprint", "run_id", "cell", "settings", "state", "reason", "metrics", "started", "tags")
    for old, new in zip(record.trials, read.trials, strict=True):
        assert [getattr(new, name) for name in fields] == [getattr(old, name) for name in fields]
        assert {name: type(value) for name, value in new.settings.items()} == {
            name: type(value) for name, value in old.settings.items()
        }


def test_histories_frames_and_images_come_back_without_the_store(frozen: Path, tiny_store: TinyStore) -> None:
    old, new = read_study(tiny_store.uri, STUDY), read_frozen(frozen).record
    for left, right in zip(old.trials, new.trials, strict=True):
        assert right.history("validation/psnr_db") == left.history("validation/psnr_db")
        assert right.history("no/such_metric") == ()
    for before, after in zip(old.evaluations, new.evaluations, strict=True):
        assert after.frames() == before.frames()
        assert same(after.sample(), before.sample())


def test_nothing_of_the_store_is_needed(tiny_store: TinyStore, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(tiny_store.folder, copy)
    record = read_study(f"sqlite:///{copy / 'mlflow.db'}", STUDY)
    write_frozen(record, tmp_path / "study.parquet")
    shutil.rmtree(copy)
    sample = read_frozen(tmp_path / "study.parquet").record.evaluations[0].sample()
    assert sample is not None
    assert sample.target.shape == (2, 64, 96)


def test_the_overview_comes_along(frozen: Path) -> None:
    assert same(read_frozen(frozen).overview, OVERVIEW)


def test_freezing_twice_gives_the_same_bytes(frozen: Path, tiny_store: TinyStore, tmp_path: Path) -> None:
    write_frozen(read_study(tiny_store.uri, STUDY), tmp_path / "again.parquet", OVERVIEW)
    assert (tmp_path / "again.parquet").read_bytes() == frozen.read_bytes()


def test_freezing_what_was_frozen_gives_the_same_bytes(frozen: Path, tmp_path: Path) -> None:
    found = read_frozen(frozen)
    write_frozen(found.record, tmp_path / "again.parquet", found.overview)
    assert (tmp_path / "again.parquet").read_bytes() == frozen.read_bytes()


def test_any_reader_of_parquet_sees_typed_columns(frozen: Path) -> None:
    schema = pq.read_schema(frozen)
    kinds = {name: schema.field(name).type for name in ("model.lc_depth", "train.learning_rate", "test/ssim")}
    assert kinds == {"model.lc_depth": pa.int64(), "train.learning_rate": pa.float64(), "test/ssim": pa.float64()}
    rows = pq.read_table(frozen, columns=["kind", "model.lc_depth", "test/ssim"]).to_pylist()
    assert {"kind": "evaluation", "model.lc_depth": 2, "test/ssim": 0.9} in rows


def test_an_image_that_many_runs_share_is_stored_once(frozen: Path) -> None:
    digests = [digest for digest in pq.read_table(frozen, columns=["digest"])["digest"].to_pylist() if digest]
    predictions, calibrations, shared, overview = 2, 2, 2, 3
    assert len(digests) == len(set(digests)) == predictions + calibrations + shared + overview


def test_a_setting_that_only_some_runs_have_stays_so(record: StudyRecord, tmp_path: Path) -> None:
    first, *rest = record.trials
    odd = record._replace(trials=(first._replace(settings={**first.settings, "old.name": None, "x.y": 1.0}), *rest))
    write_frozen(odd, tmp_path / "odd.parquet")
    trials = read_frozen(tmp_path / "odd.parquet").record.trials
    assert trials[0].settings["old.name"] is None
    assert isinstance(trials[0].settings["x.y"], float)
    assert "old.name" not in trials[1].settings


def test_a_study_without_runs_can_be_frozen(record: StudyRecord, tmp_path: Path) -> None:
    write_frozen(record._replace(trials=(), evaluations=()), tmp_path / "empty.parquet")
    assert read_frozen(tmp_path / "empty.parquet").record.trials == ()


def test_what_is_no_frozen_study_is_refused(tmp_path: Path) -> None:
    assert is_frozen("study.parquet")
    assert not is_frozen("study")
    with pytest.raises(UserError, match="there is no file"):
        read_frozen(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet at all", encoding="utf-8")
    with pytest.raises(UserError, match="is no Parquet file"):
        read_frozen(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="its layout is unknown"):
        read_frozen(tmp_path / "other.parquet")


def test_a_file_that_cannot_be_written_is_refused_and_leaves_nothing(record: StudyRecord, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        write_frozen(record, tmp_path / "file" / "study.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
