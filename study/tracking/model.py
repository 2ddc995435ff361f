"""A model file as MLflow knows models: a folder whose ``MLmodel`` names the file and says what goes in and out.

The only flavour is our own, a safetensors file: MLflow can list, register and hand out such a model,
and nothing in it is code that somebody could run.
"""

import shutil
from pathlib import Path

import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from usplit_core.checkpoint import read_model

FLAVOUR = "usplit"
#: Below a run's files.
FOLDER = "model"
MODEL_FILE = "best.safetensors"


def write_model(model: Path, folder: Path, run_id: str) -> None:
    """Fill `folder` with a copy of the model file and what MLflow wants to know of it.

    Raises
    ------
    CheckpointError
        If the model file cannot be read.
    """
    saved = read_model(model)
    channels = len(saved.channel_names)
    float32 = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(float32, (-1, -1), "superimposed")]),  # (Y, X)
        outputs=Schema([TensorSpec(float32, (channels, -1, -1), "structures")]),  # (C, Y, X)
    )
    flavour = {"data": MODEL_FILE, "usplit_version": saved.version, "channels": list(saved.channel_names)}
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, folder / MODEL_FILE)
    Model(run_id=run_id, signature=signature, flavors={FLAVOUR: flavour}).save(str(folder / "MLmodel"))


def file_of(folder: Path) -> Path | None:
    """Return the model file in a folder that MLflow handed out, or None where it holds no model of ours."""
    description = folder / "MLmodel"
    if not description.is_file():
        return None
    flavour = Model.load(str(description)).flavors.get(FLAVOUR)
    # Only the name that we write: what a description says must not lead out of its folder.
    model = folder / MODEL_FILE
    return model if flavour is not None and model.is_file() else None
