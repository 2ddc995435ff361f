"""One trial in an object store: its files, and which attempt may add to them.

::

    trials/FINGERPRINT/current.json                  the manifest: which attempt, and which object is which file
    trials/FINGERPRINT/000002-1-9f3c2a77/000004/…    files of one attempt, under keys that are never used again

Object stores can neither lock nor rename, but they can replace an object on condition that it is
still the one that was read. Only the manifest is replaced: an attempt begins by putting its name
there, and from then on no earlier one can add anything, however late its requests arrive. Files are
uploaded before a manifest names them, so it names whole files only.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from study.engine.trial_folder import AttemptSuperseded
from study.errors import StoreError
from study.sharing.objects import Objects, Version

#: Attempts that no worker makes: of a trial that is over, and of one that is to be computed again.
_SEALED, _CLEARED = "sealed", "cleared"


class SharedFile(NamedTuple):
    """A file of a trial: the object that holds it, its size in bytes, and when it was written, in seconds."""

    key: str
    size: int
    written: float


class Manifest(NamedTuple):
    """What a trial consists of at one moment.

    Attributes
    ----------
    attempt
        Who may replace this manifest.
    generation
        How many attempts there have been, this one included.
    commit
        How many times the attempt has begun to replace it, so that no two states have equal manifests.
    files
        By their path in the trial's folder.
    """

    attempt: str
    generation: int
    commit: int
    files: dict[str, SharedFile]

    @property
    def is_sealed(self) -> bool:
        """Whether the trial is over."""
        return self.attempt.startswith(_SEALED)


class Seen(NamedTuple):
    """A manifest, and the version of it that must still be there when it is replaced."""

    manifest: Manifest
    version: Version


class SharedTrial:
    """A trial as everybody sees it."""

    def __init__(self, objects: Objects, fingerprint: str) -> None:
        self.objects = objects
        self.fingerprint = fingerprint
        self.prefix = f"trials/{fingerprint}"
        self._current = f"{self.prefix}/current.json"

    def seen(self) -> Seen | None:
        """Return the manifest as it is now; None where nobody has begun the trial."""
        found = self.objects.read(self._current)
        if found is None:
            return None
        try:
            return Seen(_manifest_from_json(found.data), found.version)
        except (ValueError, TypeError, KeyError, AttributeError):
            address = f"{self.objects.address}/{self._current}"
            raise StoreError(f"{address} is no manifest of a trial: remove it to compute the trial again") from None

    def replace(self, manifest: Manifest, version: Version | None) -> Version | None:
        """Put a manifest in the place of the one with that version; None where another one stands there."""
        return self.objects.exchange(self._current, json.dumps(manifest._asdict()).encode(), version)

    def begin(self, number: int) -> "Attempt":
        """Make the caller the only one that may add to the trial; it begins with the files that are there."""
        return self._take_over(f"{number}-{uuid.uuid4().hex[:8]}")

    def seal(self) -> None:
        """End the trial: workers that were given up can add nothing, and what they left is removed."""
        self._take_over(f"{_SEALED}-{uuid.uuid4().hex[:8]}")

    def clear(self) -> None:
        """Remove what has been computed, so that the trial starts anew."""
        if self.seen() is not None:
            self._take_over(f"{_CLEARED}-{uuid.uuid4().hex[:8]}", keeping=False)

    def _take_over(self, name: str, *, keeping: bool = True) -> "Attempt":
        while True:
            seen = self.seen()
            before = Manifest("", 0, 0, {}) if seen is None else seen.manifest
            own = Manifest(name, before.generation + 1, 0, before.files if keeping else {})
            version = self.replace(own, None if seen is None else seen.version)
            if version is not None:
                break
        attempt = Attempt(self, Seen(own, version))
        attempt.sweep()
        return attempt


class Attempt:
    """The right to add to a trial, until somebody else takes it."""

    def __init__(self, trial: SharedTrial, seen: Seen) -> None:
        self._trial = trial
        self._seen = seen
        self._commits = seen.manifest.commit
        self._sent: dict[str, tuple[tuple[int, ...], SharedFile]] = {}
        self._uploaded: set[str] = set()
        self._needless: set[str] = set()

    @property
    def manifest(self) -> Manifest:
        """What the trial consists of, as far as this attempt knows."""
        return self._seen.manifest

    @property
    def name(self) -> str:
        """Name of the attempt."""
        return self.manifest.attempt

    def know(self, folder: Path) -> None:
        """Take note that `folder` holds the files of the manifest, so that they are not uploaded again."""
        for name, file in self.manifest.files.items():
            self._sent[name] = (_signature((folder / name).stat()), file)

    def commit(self, folder: Path) -> None:
        """Share what `folder` holds now: after this everybody sees its files, all of them or none.

        Raises
        ------
        AttemptSuperseded
            If another attempt has begun; nobody sees anything of these files then.
        """
        self._commits += 1
        files = dict(self._upload(folder))
        if files != self.manifest.files:
            before = set(_keys(self.manifest))
            self._replace(files)
            self._needless |= (before | self._uploaded) - set(_keys(self.manifest))
            self._uploaded.clear()
        self._remove_needless()

    def sweep(self) -> None:
        """Remove what attempts before this one have left and no manifest names; where that fails, it is left."""
        # An attempt that has been superseded can have nothing named any more: this holds whenever the list is made.
        with suppress(StoreError):
            prefix, named = self._trial.prefix, set(_keys(self.manifest))
            found = {key for key in self._trial.objects.keys(prefix) if _generation(prefix, key)}
            self._needless |= {key for key in found if _generation(prefix, key) < self.manifest.generation} - named
        self._remove_needless()

    def _upload(self, folder: Path) -> Iterator[tuple[str, SharedFile]]:
        """Upload what has changed; return all files."""
        place = f"{self._trial.prefix}/{self.manifest.generation:06}-{self.name}/{self._commits:06}"
        for name, path in visible_files(folder):
            signature = _signature(path.stat())
            if self._sent.get(name, (None,))[0] != signature:
                with path.open("rb") as file:
                    # As it is now: it may have been replaced, and may be replaced again.
                    signature = _signature(os.fstat(file.fileno()))
                    shared = SharedFile(f"{place}/{name}", signature[1], signature[0] / 1e9)
                    self._uploaded.add(shared.key)
                    self._trial.objects.write(shared.key, file)
                self._sent[name] = (signature, shared)
            yield name, self._sent[name][1]

    def _replace(self, files: Mapping[str, SharedFile]) -> None:
        own = self.manifest._replace(commit=self._commits, files=dict(files))
        while True:
            version = self._trial.replace(own, self._seen.version)
            if version is not None:
                self._seen = Seen(own, version)
                return
            seen = self._trial.seen()
            if seen is None or seen.manifest.attempt != self.name:
                raise self._superseded(seen)
            # It was the own one: an answer was lost, of this try or of an earlier one.
            self._seen = seen

    def _superseded(self, seen: Seen | None) -> AttemptSuperseded:
        # If an answer was lost, the other attempt may have begun with files of this one.
        self._needless |= self._uploaded - (set() if seen is None else set(_keys(seen.manifest)))
        self._remove_needless()
        by = "nobody: it was removed" if seen is None else f"attempt {seen.manifest.attempt}"
        return AttemptSuperseded(f"attempt {self.name} at {self._trial.fingerprint} was superseded by {by}")

    def _remove_needless(self) -> None:
        """Remove what nothing names any more; where that fails, it is tried again after the next commit."""
        with suppress(StoreError):
            self._trial.objects.remove(self._needless)
            self._needless.clear()


def _manifest_from_json(data: bytes) -> Manifest:
    fields: dict[str, Any] = json.loads(data)
    files = {name: SharedFile(*file) for name, file in fields.pop("files").items()}
    if any(part in ("", ".", "..") for name in files for part in name.split("/")):
        raise ValueError("a file would lie outside the folder of its trial")
    return Manifest(**fields, files=files)


def visible_files(folder: Path) -> list[tuple[str, Path]]:
    """Return the files of a trial's folder with their paths in it; hidden ones are being written."""
    paths = [(path.relative_to(folder), path) for path in folder.rglob("*") if path.is_file()]
    return sorted((name.as_posix(), path) for name, path in paths if not any(part[0] == "." for part in name.parts))


def _signature(found: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file is written: time in ns, size in bytes, which file it is on the disk."""
    return found.st_mtime_ns, found.st_size, found.st_ino


def _keys(manifest: Manifest) -> list[str]:
    return [file.key for file in manifest.files.values()]


def _generation(prefix: str, key: str) -> int:
    """Return the generation of the attempt that has written an object; 0 for the manifest."""
    number = key.removeprefix(f"{prefix}/").partition("-")[0]
    return int(number) if number.isdecimal() else 0
