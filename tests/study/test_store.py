from pathlib import Path

import pytest

from study.commands.models import model_file
from study.errors import StoreError
from study.store import existing_store, open_store, without_password


def test_a_store_keeps_its_notebook_itself_unless_a_server_is_named(tmp_path: Path) -> None:
    assert open_store(tmp_path).tracking_uri == f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_a_store_remembers_its_tracking_server_for_later_commands(tmp_path: Path) -> None:
    opened = open_store(tmp_path, "http://tracking.example.org:5000")
    assert opened.tracking_uri == "http://tracking.example.org:5000"
    assert open_store(tmp_path) == opened
    opened.ledger.touch()
    assert existing_store(tmp_path) == opened
    assert open_store(tmp_path, "http://other.example.org").server == "http://other.example.org"


def test_a_password_is_not_written_down(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="MLFLOW_TRACKING_PASSWORD") as refused:
        open_store(tmp_path, "https://me:p4ss@example.org")
    assert "p4ss" not in str(refused.value)
    assert not any("p4ss" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_an_address_is_shown_without_its_password() -> None:
    assert without_password("postgresql://me:p4ss@host/db") == "postgresql://me:***@host/db"
    assert without_password("sqlite:///folder/mlflow.db") == "sqlite:///folder/mlflow.db"


def test_a_model_that_is_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    with model_file(tmp_path / "best.safetensors", tmp_path / "no_store") as file:
        assert file == tmp_path / "best.safetensors"


def test_a_registered_model_needs_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with (
        pytest.raises(StoreError, match="no study has been run there"),
        model_file(Path("models:/quickstart@best"), tmp_path / "no_store"),
    ):
        pass
