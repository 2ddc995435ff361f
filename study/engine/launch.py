"""How a study was started, kept in the store so that it can be taken up by its name."""

import json
from pathlib import Path
from typing import NamedTuple

from study.errors import StoreError
from study.store import Store
from usplit_core.errors import nearest
from usplit_core.whole_files import read_json, write_whole

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
        write_whole(folder / _SPACE, space.read_bytes())
    write_whole(folder / _OPTIONS, json.dumps({"settings": settings}))


def read_launch(store: Store, study: str) -> Launch:
    """Return how a study was last started.

    Raises
    ------
    StoreError
        If the store has no study of that name, or its note of the start is damaged.
    """
    folder = store.study_folder(study)
    if not (folder / _OPTIONS).exists():
        known = sorted(path.parent.name for path in store.studies.glob(f"*/{_OPTIONS}"))
        raise StoreError(f"study {study!r}: was never started in {store.root}; {nearest(study, known)}")
    options = read_json(folder / _OPTIONS)
    if options is None:
        raise StoreError(
            f"study {study!r}: {folder / _OPTIONS} is damaged: give `usplit run` its search space and settings once "
            "more; what has been computed is kept"
        )
    return Launch(folder / _SPACE, options["settings"])
