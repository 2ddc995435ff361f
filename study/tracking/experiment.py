"""The experiment of a study: found by its name, or made."""

import json
import urllib.parse
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Experiment

from study.errors import StoreError
from study.spec import Study
from study.store import Store, without_password

_STUDY = "usplit.study"
_NOTE = "mlflow.note.content"
_NOTE_LENGTH = 5000  # what a tracking server accepts as a tag of an experiment


def open_experiment(client: MlflowClient, store: Store, study: Study) -> str:
    """Return the identity of the experiment, with question and study as its tags.

    Raises
    ------
    StoreError
        If the name stands for another study there.
    """
    existing = client.get_experiment_by_name(study.name)
    if existing is None:
        # A server of its own decides where files go; a database on disk is told.
        place = store.artifact_folder(study.name).as_uri() if store.server is None else None
        identity = client.create_experiment(study.name, artifact_location=place)
    else:
        _check_same(study, existing.tags.get(_STUDY), store.tracking_uri)
        if existing.lifecycle_stage == "deleted":
            client.restore_experiment(existing.experiment_id)
        identity = existing.experiment_id
    client.set_experiment_tag(identity, _NOTE, study.question)
    # Without it the dashboard opens its pages for language models.
    client.set_experiment_tag(identity, "mlflow.experimentKind", "custom_model_development")
    client.set_experiment_tag(identity, _STUDY, json.dumps(study.describe()))
    return str(identity)


def _check_same(study: Study, text: str | None, uri: str) -> None:
    """Refuse a name that others use: a tracking server may be shared, and their runs would mix with ours."""
    known = None if text is None else json.loads(text).get("base")
    base = json.loads(json.dumps(study.describe()["base"]))
    if known != base:
        raise StoreError(
            f"{without_password(uri)} has an experiment {study.name!r} of another study: "
            "give this one a name of its own with --name"
        )


def question_of(experiment: Experiment) -> str:
    """Return the question of a study from its experiment."""
    return str(json.loads(experiment.tags[_STUDY])["question"])


def link_comparisons(client: MlflowClient, identity: str, question: str, runs: Mapping[str, Sequence[str]]) -> None:
    """Put links to MLflow's page that compares runs below the question; a list too long for a note has none.

    Parameters
    ----------
    identity
        Of the experiment.
    runs
        Identities of the runs to compare, by what they are called.
    """
    note = question
    for name, compared in runs.items():
        address = _comparison(identity, compared)
        longer = f"{note}\n\n[Compare {len(compared)} {name}]({address})"
        if len(compared) > 1 and len(longer) <= _NOTE_LENGTH:
            note = longer
    client.set_experiment_tag(identity, _NOTE, note)


def _comparison(identity: str, runs: Sequence[str]) -> str:
    """Return the address of the page, relative to that of the server."""
    chosen = {"runs": list(runs), "experiments": [identity]}
    lists = {name: json.dumps(values, separators=(",", ":")) for name, values in chosen.items()}
    return f"#/compare-runs?{urllib.parse.urlencode(lists, safe=',')}&workflowType=machine_learning"
