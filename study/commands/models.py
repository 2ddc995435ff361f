"""A model argument: a file, or the address of a registered model."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from study import environment
from study.store import Store, existing_store


@contextmanager
def model_file(model: Path, store: Path) -> Iterator[Path]:
    """Yield the file of a model; a registered one lasts as long as the context.

    Parameters
    ----------
    model
        A file, ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
    store
        Whose registry is asked; where there is no such store, that of MLFLOW_TRACKING_URI.

    Raises
    ------
    UserError
        If the registry cannot be used, or has no such model.
    """
    address = str(model)
    if not address.startswith("models:"):
        yield model
        return
    environment.set_defaults()
    from study.tracking.registry import registered_model

    server = os.environ.get("MLFLOW_TRACKING_URI")
    places = Store(store, server) if server and not store.exists() else existing_store(store)
    with registered_model(address, places) as file:
        yield file
