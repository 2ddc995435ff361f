"""Which images a run has used, in the form of MLflow's data sets."""

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

_CONTEXT = "mlflow.data.context"


def dataset_input(record: Mapping[str, Any], context: str) -> DatasetInput:
    """Return the images that a trial's record names.

    Parameters
    ----------
    record
        Of the trial.
    context
        What they were used for: training or evaluation.
    """
    data, settings = record["data"], record["run"]["data"]
    paths = [settings["path"]] if isinstance(settings["path"], str) else list(settings["path"])
    dataset = Dataset(
        name=PurePath(paths[0]).name[:500],
        # The hash of the pixels: 32 characters, where MLflow takes 36.
        digest=data["content"][:36],
        source_type="code" if paths[0].startswith("synthetic:") else "local",
        source=json.dumps({"uri": paths[0] if len(paths) == 1 else paths}),
        profile=json.dumps({"structure_channels": data["channels"], "split": data["split"]["rule"]}),
    )
    return DatasetInput(dataset, [InputTag(_CONTEXT, context)])
