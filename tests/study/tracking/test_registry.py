"""Models by name: registered once, found by version and alias, never run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from study.errors import StoreError
from study.store import Store
from study.tracking.registry import Champion, register, registered_model
from study.tracking.tracker import Tracker
from tests.study.tracking.trials import STUDY, fill, finish
from usplit_core.errors import CheckpointError
from usplit_core.inference.prediction import Splitter


def champion(seed: int) -> Champion:
    return Champion(f"trial{seed}", f"seed{seed}", "test/scale_invariant_psnr_db", 30.5 + seed, "inner-4px-1")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, training: Path) -> Store:
    """Return a store whose notebook holds a finished trial."""
    store = Store(tmp_path_factory.mktemp("written"))
    shutil.copy(empty_database, store.root / "mlflow.db")
    finish(Tracker(store, STUDY), store, fill(store, training, 0))
    return store


def test_the_best_model_is_registered_once_and_found_by_number_and_alias(store: Store, training: Path) -> None:
    finish(Tracker(store, STUDY), store, fill(store, training, 0, 1))
    assert register(store, "tiny", champion(0)) == "models:/tiny/1"
    assert register(store, "tiny", champion(0)) == "models:/tiny/1"
    assert register(store, "tiny", champion(1)) == "models:/tiny/2"
    for address in ("models:/tiny/1", "models:/tiny@best"):
        with registered_model(address, store) as file:
            assert file.read_bytes() == (training / "best.safetensors").read_bytes()
            splitter = Splitter.load(file)
        assert not file.exists()
    image = np.ones((32, 32), np.float32)
    assert splitter.split(image, tiling=splitter.saved.run.tiling).shape == (2, 32, 32)
    client = MlflowClient(store.tracking_uri)
    best = client.get_model_version_by_alias("tiny", "best")
    assert (str(best.version), best.tags["usplit.fingerprint"], best.tags["usplit.score"]) == ("2", "trial1", "31.5")
    assert client.get_registered_model("tiny").description == STUDY.question


def test_what_is_registered_says_what_goes_in_and_out_and_holds_no_code(written: Store) -> None:
    with registered_model(register(written, "tiny", champion(0)), written) as file:
        description = Model.load(str(file.parent))
        assert {path.name for path in file.parent.iterdir()} == {"MLmodel", "best.safetensors"}
    assert set(description.flavors) == {"usplit"}
    assert description.signature is not None
    inputs, outputs = description.signature.inputs.inputs, description.signature.outputs.inputs
    assert [(item.name, item.shape) for item in inputs] == [("superimposed", (-1, -1))]
    assert [(item.name, item.shape) for item in outputs] == [("structures", (2, -1, -1))]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("models:/tiny", "write models:/NAME/VERSION or models:/NAME@best"),
        ("models:/tiny/7", r"has no models:/tiny/7; its models are tiny: a study registers its best model"),
        ("models:/other@best", "has no models:/other@best; its models are tiny"),
    ],
)
def test_a_model_that_is_not_there_is_refused_with_those_that_are(written: Store, address: str, message: str) -> None:
    register(written, "tiny", champion(0))
    with pytest.raises(StoreError, match=message), registered_model(address, written):
        pass


def test_a_model_of_others_is_refused_unread(written: Store, tmp_path: Path) -> None:
    client = MlflowClient(written.tracking_uri)
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: os\n")
    client.create_registered_model("foreign")
    client.create_model_version("foreign", folder.as_uri())
    with (
        pytest.raises(CheckpointError, match="was not registered by usplit"),
        registered_model("models:/foreign/1", written),
    ):
        pass


def test_a_trial_without_a_model_cannot_be_registered(written: Store) -> None:
    with pytest.raises(StoreError, match="has no model of seed7: run the study again"):
        register(written, "tiny", champion(7))
