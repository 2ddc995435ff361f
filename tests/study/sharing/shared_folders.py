"""Trials in an object store of this process, whose requests fail or are overtaken when a test says so."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from obstore.store import MemoryStore

from study.sharing.mirror import fetch
from study.sharing.objects import Objects, Version
from study.sharing.reasons import meaning_of
from study.sharing.shared_trial import SharedTrial

FINGERPRINT = "f" * 8
#: What a test may do to a request: nothing, or raise.
Disturb = Callable[[str], None]


class Killed(BaseException):
    """The process is gone: nothing catches this."""


class DisturbedObjects(Objects):
    """Objects that call a function before each request, and another one once it is done."""

    def __init__(self) -> None:
        super().__init__("memory:///disturbed", MemoryStore())
        self.before: Disturb = lambda request: None
        self.after: Disturb = lambda request: None

    def _around(self, request: str, work: Callable[[], Any]) -> Any:
        self.before(request)
        done = work()
        self.after(request)
        return done

    def read(self, key: str) -> Any:
        return self._around("read", lambda: super(DisturbedObjects, self).read(key))

    def write(self, key: str, content: Any) -> None:
        self._around("write", lambda: super(DisturbedObjects, self).write(key, content))

    def exchange(self, key: str, data: bytes, seen: Version | None) -> Version | None:
        version: Version | None = self._around(
            "exchange", lambda: super(DisturbedObjects, self).exchange(key, data, seen)
        )
        return version

    def keys(self, prefix: str) -> Any:
        return self._around("keys", lambda: super(DisturbedObjects, self).keys(prefix))

    def remove(self, keys: Any) -> None:
        wanted = list(keys)
        if wanted:
            self._around("remove", lambda: super(DisturbedObjects, self).remove(wanted))

    def calm(self) -> None:
        """Disturb no request any more."""
        self.before = self.after = lambda request: None


def at(number: int, do: Callable[[], None]) -> Disturb:
    """Do something at the request of that number, counted from 0, and nothing at all others."""
    count = itertools.count()

    def disturb(request: str) -> None:
        if next(count) == number:
            do()

    return disturb


def kill() -> None:
    raise Killed


def go_away() -> None:
    """Fail as an object store does that does not answer."""
    error = meaning_of("memory:///disturbed", "kind: Connect, Connection refused")
    raise error from error.__cause__


def write(folder: Path, **files: str) -> Path:
    """Write files as workers do: under another name, then renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        partial = folder / f".{name}.unfinished"
        partial.write_text(text)
        partial.replace(folder / name)
    return folder


def what_the_driver_sees(objects: Objects, folder: Path) -> dict[str, str]:
    """Fetch the trial into a folder, and return its files."""
    fetch(SharedTrial(objects, FINGERPRINT), folder)
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(".")}


def left_over(objects: Objects) -> set[str]:
    """Return the objects that no manifest names."""
    found: set[str] = set()
    for fingerprint in {key.split("/")[1] for key in objects.keys("trials")}:
        trial = SharedTrial(objects, fingerprint)
        seen = trial.seen()
        named = set() if seen is None else {file.key for file in seen.manifest.files.values()}
        found |= {key for key in objects.keys(trial.prefix) if not key.endswith("/current.json")} - named
    return found
