"""The places of a store: one directory that holds everything a study makes."""

import tempfile
from pathlib import Path
from typing import NamedTuple

from study.errors import StoreError

#: Where commands look when no ``--store`` is given.
DEFAULT = Path("usplit_store")


class Store(NamedTuple):
    """A store's directory; `open_store` makes one."""

    root: Path

    @property
    def ledger(self) -> Path:
        """What must run and what became of it."""
        return self.root / "ledger.sqlite"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps what is shown."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def trial_folder(self, fingerprint: str) -> Path:
        """Return where what has been computed of a trial lies."""
        return self.root / "trials" / fingerprint

    @property
    def noise_model_folder(self) -> Path:
        """Where copies of the noise models lie, named by their content."""
        return self.root / "noise_models"

    def artifact_folder(self, study: str) -> Path:
        """Return where MLflow keeps the files of a study."""
        return self.root / "artifacts" / study

    def study_folder(self, study: str) -> Path:
        """Return where the report, the figures and the best model's images of a study lie."""
        return self.root / "studies" / study


def open_store(path: Path) -> Store:
    """Return the store at `path`, made where there is none.

    Raises
    ------
    StoreError
        If nothing can be written there.
    """
    root = path.expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise StoreError(f"--store {path}: cannot be written to ({error.strerror}); name another directory") from None
    return Store(root)


def existing_store(path: Path) -> Store:
    """Return the store at `path`.

    Raises
    ------
    StoreError
        If there is none.
    """
    root = path.expanduser().resolve()
    if not (root / "ledger.sqlite").exists():
        raise StoreError(f"--store {path}: no study has been run there; give the directory that `usplit run` named")
    return Store(root)
