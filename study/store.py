"""The places of a store: one directory that holds everything a study makes."""

import re
import tempfile
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from study.errors import StoreError
from study.sharing.objects import check_address

#: Where commands look when no ``--store`` is given.
DEFAULT = Path("usplit_store")
#: Files of a store with the addresses of its tracking server and of its object store, where it uses them.
_SERVER, _SHARED = "tracking_uri", "shared_storage"


class Store(NamedTuple):
    """A store's directory; `open_store` makes one.

    Attributes
    ----------
    root
        The directory.
    server
        Address of the tracking server that the store uses; None = a database of its own.
    shared
        Address of the object store through which nodes share the trials; the trial folders then show
        what `study.sharing.mirror` has fetched. None = the trial folders themselves are shared.
    """

    root: Path
    server: str | None = None
    shared: str | None = None

    @property
    def ledger(self) -> Path:
        """What must run and what became of it."""
        return self.root / "ledger.sqlite"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps what is shown."""
        return self.server or f"sqlite:///{self.root / 'mlflow.db'}"

    def trial_folder(self, fingerprint: str) -> Path:
        """Return where what has been computed of a trial lies."""
        return self.root / "trials" / fingerprint

    @property
    def noise_model_folder(self) -> Path:
        """Where copies of the noise models lie, named by their content."""
        return self.root / "noise_models"

    def stop_request(self, study: str) -> Path:
        """Return the file whose presence asks the driver of a study to stop."""
        return self.study_folder(study) / "stop"

    def artifact_folder(self, study: str) -> Path:
        """Return where MLflow keeps the files of a study."""
        return self.root / "artifacts" / study

    @property
    def studies(self) -> Path:
        """Where each study has its folder."""
        return self.root / "studies"

    def study_folder(self, study: str) -> Path:
        """Return where the report, the figures and the best model's images of a study lie."""
        return self.studies / study


def open_store(path: Path, tracking_uri: str | None = None, shared: str | None = None) -> Store:
    """Return the store at `path`, made where there is none.

    Parameters
    ----------
    path
        The directory.
    tracking_uri
        Address of a tracking server, remembered for later commands; None = the one that the store
        has used before, or a database of its own.
    shared
        Address of an object store through which nodes share the trials, remembered like the other.

    Raises
    ------
    StoreError
        If nothing can be written there, it is an object store and no folder, the address of the
        tracking server holds a password, or the store already shares its trials otherwise.
    """
    refuse_object_store(path)
    root = path.expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
        if tracking_uri is not None:
            _remember_server(root, tracking_uri)
        if shared is not None:
            _remember_shared(root, shared.rstrip("/"))
    except OSError as error:
        raise StoreError(f"--store {path}: cannot be written to ({error.strerror}); name another directory") from None
    return _store(root)


def refuse_object_store(path: Path) -> None:
    """Refuse a store that is an address and no folder.

    Raises
    ------
    StoreError
        For ``s3://…`` and the like.
    """
    # A Path has already folded the two slashes into one.
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/", str(path))
    if scheme:
        raise StoreError(
            f"--store {scheme[1]}://…: a store is a folder: give one of this machine, and let "
            "nodes share the trials through the object store with --shared s3://BUCKET/PREFIX, see docs/cluster.md"
        )


def _remember_server(root: Path, uri: str) -> None:
    shown = without_password(uri)
    if shown != uri:
        raise StoreError(
            f"the tracking server {shown} is named with a password, which would be written down: name it without, "
            "and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
        )
    (root / _SERVER).write_text(uri, encoding="utf-8")


def _remember_shared(root: Path, address: str) -> None:
    check_address(address)
    before = _remembered(root / _SHARED)
    if before != address and any((root / "trials").glob("*")):
        where = before or "its own folder"
        raise StoreError(
            f"--shared {address}: the trials of {root} are shared through {where}; name another --store, or without "
            "--shared go on as before"
        )
    (root / _SHARED).write_text(address, encoding="utf-8")


def remembered_shared(path: Path) -> str | None:
    """Return the address of the object store that the store at `path` uses; None where there is none."""
    return _remembered(path.expanduser().resolve() / _SHARED)


def _store(root: Path) -> Store:
    return Store(root, _remembered(root / _SERVER), _remembered(root / _SHARED))


def _remembered(path: Path) -> str | None:
    return path.read_text("utf-8").strip() or None if path.exists() else None


def without_password(uri: str) -> str:
    """Return an address as it may be shown."""
    parts = urllib.parse.urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":***@", 1)


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
    return _store(root)
