"""Where a worker does its trial: in the trial's folder, which all nodes share, or in one of its own.

In a folder of its own it begins with what the trial has in the object store, and shares what it has
written each time before it tells the driver of it.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from study.engine.outage import check_room
from study.engine.trial_folder import AttemptSuperseded, begin_attempt, check_attempt
from study.errors import StoreError
from study.sharing.mirror import bring, fetch
from study.sharing.objects import open_objects
from study.sharing.shared_trial import Attempt, SharedTrial
from usplit_core.config import RunConfig
from usplit_core.errors import CheckpointError

#: Where noise models lie in an object store.
NOISE_MODELS = "noise_models"
#: Folders of workers, and the file in each whose lock says that its worker is alive, in whatever container.
_PREFIX, _LOCK = "usplit-trial-", ".lock"


class Workplace(Protocol):
    """The folder that a worker reads and writes, and how others see it.

    Attributes
    ----------
    folder
        Holds what has been computed of the trial, once `begin` or `look` has returned.
    """

    folder: Path

    def look(self) -> None:
        """Bring `folder` up to what has been computed, without becoming its writer."""

    def begin(self, number: int) -> str:
        """Become the only one that may write; return the name of the attempt."""

    def check(self) -> None:
        """Raise `AttemptSuperseded` where another attempt is known to have taken over."""

    def share(self) -> None:
        """Let the driver and later attempts see what has been written."""

    def check_ready(self) -> None:
        """Raise as storage does while writing would fail."""

    def origin(self, fingerprint: str) -> Path:
        """Return the training file of another trial, which this one goes on from."""

    def with_noise_model(self, run: RunConfig) -> RunConfig:
        """Return the run with its noise model, where it has one, as a file of this node."""


@contextmanager
def workplace(folder: Path, shared: str) -> Iterator[Workplace]:
    """Give a worker a place for the time of a block.

    Parameters
    ----------
    folder
        Of the trial, in the driver's store.
    shared
        Address of the object store through which the trial is shared; empty = all nodes have `folder`.

    Raises
    ------
    StoreError
        If the object store cannot be used from here.
    """
    if not shared:
        yield _SharedFolder(folder)
        return
    objects = open_objects(shared)
    with _own_folder() as scratch:
        yield _OwnFolder(SharedTrial(objects, folder.name), scratch)


class _SharedFolder:
    """The trial's folder itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._attempt = ""

    def look(self) -> None:
        """All is there."""

    def begin(self, number: int) -> str:
        self._attempt = begin_attempt(self.folder, number)
        return self._attempt

    def check(self) -> None:
        check_attempt(self.folder, self._attempt)

    def share(self) -> None:
        """All nodes see it as it is written."""

    def check_ready(self) -> None:
        check_room(self.folder)

    def origin(self, fingerprint: str) -> Path:
        return _training_file(self.folder.parent / fingerprint)

    def with_noise_model(self, run: RunConfig) -> RunConfig:
        return run


class _OwnFolder:
    """A folder of this worker alone; the trial lies in an object store."""

    def __init__(self, trial: SharedTrial, scratch: Path) -> None:
        # Named as in every store, for messages.
        self.folder = scratch / trial.fingerprint
        self._scratch = scratch
        self._trial = trial
        self._attempt: Attempt | None = None

    def look(self) -> None:
        fetch(self._trial, self.folder)

    def begin(self, number: int) -> str:
        if self._attempt is None:
            self._attempt = self._trial.begin(number)
        if not bring(self._trial.objects, self._attempt.manifest, self.folder):
            raise self._incomplete()
        self._attempt.know(self.folder)
        return self._attempt.name

    def check(self) -> None:
        """Nobody else writes here, and what is shared is checked when it is."""

    def share(self) -> None:
        if self._attempt is not None:
            self._attempt.commit(self.folder)

    def check_ready(self) -> None:
        check_room(self.folder)
        self._trial.seen()

    def origin(self, fingerprint: str) -> Path:
        trial = SharedTrial(self._trial.objects, fingerprint)
        folder = self._scratch / fingerprint
        fetch(trial, folder)
        return _training_file(folder)

    def with_noise_model(self, run: RunConfig) -> RunConfig:
        path = run.objective.noise_model_path
        if path is None:
            return run
        local = self._scratch / Path(path).name
        found = self._trial.objects.read(f"{NOISE_MODELS}/{local.name}")
        if found is None:
            raise CheckpointError(f"the noise model {local.name} is missing in {self._trial.objects.address}")
        local.write_bytes(found.data)
        objective = run.objective.model_copy(update={"noise_model_path": str(local)})
        return run.model_copy(update={"objective": objective})

    def _incomplete(self) -> Exception:
        """Return why a file of the manifest is gone: a later attempt has replaced it, or somebody has removed it."""
        seen, own = self._trial.seen(), self._attempt
        if own is not None and seen is not None and seen.manifest.attempt != own.name:
            return AttemptSuperseded(f"attempt {own.name} was superseded by attempt {seen.manifest.attempt}")
        return StoreError(
            f"{self._trial.objects.address}/{self._trial.prefix}: files that its manifest names are missing: compute "
            "the trial again with --fresh"
        )


def _training_file(folder: Path) -> Path:
    from usplit_core.checkpointing import LAST

    return folder / LAST


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Yield a new folder of this node, removed at the end; those that killed workers have left are removed first."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    # Locked before it has its name: a folder whose lock can be taken belongs to nobody.
    unlocked, lock = folder / ".unlocked", folder / _LOCK
    with unlocked.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        unlocked.rename(lock)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError), (folder / _LOCK).open("r+") as file:  # of others, or just removed
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
