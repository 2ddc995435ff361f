"""How a study was started, kept in the store so that it can be taken up by its name."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from study.errors import StoreError
from study.store import Store
from usplit_core.errors import nearest

_SPACE, _OPTIONS = "space.py", "launch.json"


class Launch(NamedTuple):
    """A search-space file and what the command line changed in it."""

    space: Path
    settings: list[str]


def keep_launch(store: Store, study: str, space: Path, settings: list[str]) -> None:
    """Keep a copy of the search-space file: the user's own may change before the study is over."""
    folder = store.study_folder(study)
    folder.mkdir(parents=True, exist_ok=True)
    if space.resolve() != (folder / _SPACE).resolve():
        shutil.copyfile(space, folder / _SPACE)
    (folder / _OPTIONS).write_text(json.dumps({"settings": settings}))


def read_launch(store: Store, study: str) -> Launch:
    """Return how a study was last started.

    Raises
    ------
    StoreError
        If the store has no study of that name.
    """
    folder = store.study_folder(study)
    if not (folder / _OPTIONS).exists():
        known = sorted(path.parent.name for path in store.studies.glob(f"*/{_OPTIONS}"))
        raise StoreError(f"study {study!r}: was never started in {store.root}; {nearest(study, known)}")
    return Launch(folder / _SPACE, json.loads((folder / _OPTIONS).read_text())["settings"])
