"""A folder that shows a shared trial: what its manifest names is fetched, what it names no more is removed."""

import json
import os
import threading
from pathlib import Path

from study.errors import StoreError
from study.sharing.objects import Objects
from study.sharing.shared_trial import Manifest, SharedFile, SharedTrial
from usplit_core.whole_files import read_json, write_whole

#: In a folder: which object each of its files was fetched from.
_INDEX = ".shared.json"
#: A manifest that has just been replaced names objects that are gone: so often is the next one asked for.
_TRIES = 5

#: One thread at a time fetches into a folder: that of the driver, or that which writes to the tracking store.
_guards: dict[Path, threading.Lock] = {}
_guard_of_guards = threading.Lock()


def fetch(trial: SharedTrial, folder: Path) -> Manifest | None:
    """Bring a folder up to what a trial consists of now; the folder of one that nobody has begun stays as it is.

    Raises
    ------
    StoreError
        If the object store fails, or lacks what its manifest names.
    """
    with _guard_of_guards:
        guard = _guards.setdefault(folder, threading.Lock())
    with guard:
        for _ in range(_TRIES):
            seen = trial.seen()
            if seen is None:
                return None
            if bring(trial.objects, seen.manifest, folder):
                return seen.manifest
    raise StoreError(
        f"{trial.objects.address}/{trial.prefix}: files that its manifest names are missing, so somebody has removed "
        "them: compute the trial again with --fresh"
    )


def bring(objects: Objects, manifest: Manifest, folder: Path) -> bool:
    """Make a folder hold the files of a manifest; return False, and change nothing, where one is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    known = _read_index(folder)
    wanted = {name: file for name, file in manifest.files.items() if known.get(name) != file.key}
    fetched: list[tuple[SharedFile, Path, Path]] = []
    try:
        for name, file in wanted.items():
            partial = _partial(folder, name)
            fetched.append((file, partial, folder / name))
            if not _download(objects, file, partial):
                return False
        # As they were written: who reads meanwhile meets them in the order in which the worker wrote them.
        for _, partial, path in sorted(fetched, key=lambda entry: entry[0].written):
            partial.replace(path)
    finally:
        for _, partial, _ in fetched:
            partial.unlink(missing_ok=True)
    for name in known.keys() - manifest.files.keys():
        (folder / name).unlink(missing_ok=True)
    if known != _keys(manifest):
        _write_index(folder, _keys(manifest))
    return True


def _download(objects: Objects, file: SharedFile, path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        if not objects.download(file.key, file.size, target):
            return False
    # Times tell when epochs have ended, wherever they are read (study/tracking/contents.py).
    os.utime(path, (file.written, file.written))
    return True


def _partial(folder: Path, name: str) -> Path:
    path = folder / name
    return path.with_name(f".{path.name}.{os.getpid()}.unfinished")


def _keys(manifest: Manifest) -> dict[str, str]:
    return {name: file.key for name, file in manifest.files.items()}


def _read_index(folder: Path) -> dict[str, str]:
    known: dict[str, str] = read_json(folder / _INDEX) or {}
    return {name: key for name, key in known.items() if (folder / name).exists()}


def _write_index(folder: Path, known: dict[str, str]) -> None:
    write_whole(folder / _INDEX, json.dumps(known))
