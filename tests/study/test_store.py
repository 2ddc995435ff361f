from pathlib import Path

import pytest

from study.commands.models import model_file
from study.errors import StoreError
from study.store import existing_store, open_store, refuse_object_store, without_password


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


def test_a_store_remembers_through_what_its_nodes_share_trials(tmp_path: Path) -> None:
    opened = open_store(tmp_path, shared="s3://bucket/group/")
    assert opened.shared == "s3://bucket/group"
    assert open_store(tmp_path) == opened
    assert open_store(tmp_path, shared="s3://other").shared == "s3://other"


def test_a_store_with_trials_is_not_shared_otherwise_than_before(tmp_path: Path) -> None:
    opened = open_store(tmp_path)
    opened.trial_folder("a").mkdir(parents=True)
    with pytest.raises(StoreError, match="shared through its own folder; name another --store"):
        open_store(tmp_path, shared="s3://bucket")
    assert open_store(tmp_path).shared is None


@pytest.mark.parametrize("address", ["s3://key:s3cr3t@bucket/store", "s3://bucket/store?secret=s3cr3t"])
def test_an_address_with_a_key_is_refused_and_not_repeated(address: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="AWS_ACCESS_KEY_ID") as refused:
        open_store(tmp_path, shared=address)
    assert "s3cr3t" not in str(refused.value)
    assert not any("s3cr3t" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "address", ["/shared/store", "bucket/prefix", "https://example.org/store", "s3://", "s3:/bucket"]
)
def test_what_is_no_object_store_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no object store: give s3://BUCKET/PREFIX"):
        open_store(tmp_path, shared=address)


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


@pytest.mark.parametrize("path", ["s3://bucket/store", "gs://bucket", "https://example.org/store"])
def test_an_object_store_is_refused_with_the_remedy(path: str) -> None:
    with pytest.raises(StoreError, match="--shared s3://BUCKET/PREFIX"):
        refuse_object_store(Path(path))


@pytest.mark.parametrize("path", ["usplit_store", "/shared/store", "a:b/store", "~/store"])
def test_a_folder_is_no_object_store(path: str) -> None:
    refuse_object_store(Path(path))
