"""The model registry: the best model of a study under the study's name, and models found by name.

What is registered is the folder ``model`` of a trial's run (`study.tracking.model`): a safetensors
file and a description. Nothing of it is ever run.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from study.errors import StoreError
from study.store import Store, without_password
from study.tracking.client import connect, reaching
from study.tracking.experiment import question_of
from study.tracking.model import FOLDER, file_of
from usplit_core.errors import CheckpointError

#: The alias that follows the best model of a study.
ALIAS = "best"
_NAME = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


class Champion(NamedTuple):
    """The best model of a study: its trial, what it was chosen by, and the tiling that gave that score."""

    fingerprint: str
    label: str
    objective: str
    score: float
    tiling: str


def register(store: Store, study: str, champion: Champion) -> str:
    """Make the champion the newest version of the study's model, unless it is; return its address.

    Parameters
    ----------
    store
        In whose notebook the trial's run is.
    study
        Name of the study, and of the model.
    champion
        Which trial.

    Raises
    ------
    TrackingError
        If the tracking store cannot be used.
    StoreError
        If it has no run of the trial with a model.
    """
    client = connect(store.tracking_uri)
    with reaching(store.tracking_uri):
        present = _best(client, study)
        if present is not None and present.tags.get("usplit.fingerprint") == champion.fingerprint:
            return f"models:/{study}/{present.version}"
        run_id, place = _find_run(client, study, champion)
        if present is None and not client.search_registered_models(f"name='{study}'"):
            client.create_registered_model(study, description=_question(client, study))
        version = client.create_model_version(
            study,
            f"{place}/{FOLDER}",
            run_id,
            tags={
                "usplit.fingerprint": champion.fingerprint,
                "usplit.objective": champion.objective,
                "usplit.score": repr(champion.score),
                "usplit.tiling": champion.tiling,
            },
            description=f"{champion.label}, {champion.tiling}: {champion.objective} = {champion.score:.4g}",
        )
        client.set_registered_model_alias(study, ALIAS, version.version)
    return f"models:/{study}/{version.version}"


def _best(client: MlflowClient, name: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _find_run(client: MlflowClient, study: str, champion: Champion) -> tuple[str, str]:
    """Return identity and place of the files of the champion's run."""
    experiment = client.get_experiment_by_name(study)
    text = f"tags.`usplit.kind` = 'trial' and tags.`usplit.fingerprint` = '{champion.fingerprint}'"
    runs = [] if experiment is None else client.search_runs([experiment.experiment_id], text)
    if not runs or not any(file.path == FOLDER for file in client.list_artifacts(runs[0].info.run_id)):
        raise StoreError(f"the notebook of study {study!r} has no model of {champion.label}: run the study again")
    return runs[0].info.run_id, str(runs[0].info.artifact_uri)


def _question(client: MlflowClient, study: str) -> str:
    experiment = client.get_experiment_by_name(study)
    return "" if experiment is None else question_of(experiment)


@contextmanager
def registered_model(model: str, store: Store) -> Iterator[Path]:
    """Yield the file of a registered model, which lasts as long as the context.

    Parameters
    ----------
    model
        ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
    store
        In whose registry it is.

    Raises
    ------
    StoreError
        If the address is none, or the registry has no such model.
    CheckpointError
        If what is registered there is no model of this package.
    TrackingError
        If the registry cannot be reached.
    """
    version = _find_version(model, store.tracking_uri)
    client = connect(store.tracking_uri)
    with tempfile.TemporaryDirectory() as folder:
        with reaching(store.tracking_uri):
            place = client.get_model_version_download_uri(version.name, version.version)
            found = Path(download_artifacts(place, dst_path=folder, tracking_uri=store.tracking_uri))
        file = file_of(found)
        if file is None:
            raise CheckpointError(f"{model} was not registered by usplit: it holds no safetensors file to predict with")
        yield file


def _find_version(model: str, uri: str) -> ModelVersion:
    parts = _NAME.fullmatch(model)
    if parts is None:
        raise StoreError(f"model {model!r}: write models:/NAME/VERSION or models:/NAME@{ALIAS}")
    client, name = connect(uri), parts["name"]
    with reaching(uri):
        try:
            if parts["version"]:
                return client.get_model_version(name, parts["version"])
            return client.get_model_version_by_alias(name, parts["alias"])
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        known = [str(found.name) for found in client.search_registered_models()]
    raise StoreError(
        f"{without_password(uri)} has no {model}; "
        + (f"its models are {', '.join(sorted(known))}" if known else "no model is registered there yet")
        + ": a study registers its best model when it ends"
    )
