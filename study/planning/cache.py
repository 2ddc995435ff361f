"""What has been worked out once: small JSON files that are kept, each named by a hash of its key, and shared arrays.

Whatever cannot be read counts as unknown and is worked out again, so the folders may be removed at any time.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from usplit_core.data.shared_arrays import ArrayCache, private_folder, remove_unused, sweep_at_exit
from usplit_core.whole_files import write_whole

Key = Mapping[str, Any]


def user_cache() -> Path:
    """Return where what holds for this user's files is kept.

    The folder that ``USPLIT_CACHE`` names, else ``usplit`` in the cache folder of the system.
    """
    named = os.environ.get("USPLIT_CACHE")
    if named:
        return Path(named)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "usplit"


def node_arrays(**origin: Any) -> ArrayCache | None:
    """Return where the processes of a node share large arrays that follow from `origin`; None if there is no place.

    In the folder that ``USPLIT_CACHE`` names, else in the folder for temporary files, which ``TMPDIR`` names.
    """
    folder = private_folder(_node_folder())
    return None if folder is None else ArrayCache(folder, origin)


def tidy_node() -> None:
    """Remove the shared arrays that no process of this node uses: now, and when this process ends."""
    sweep_at_exit(_node_folder())
    remove_unused(_node_folder())


def _node_folder() -> Path:
    named = os.environ.get("USPLIT_CACHE")
    return Path(named) / "arrays" if named else Path(tempfile.gettempdir()) / f"usplit-{os.getuid()}"


def recall(folder: Path, key: Key) -> Any | None:
    """Return what was remembered of a JSON-able `key`, or None."""
    text = _text(key)
    try:
        entry = json.loads(_file(folder, text).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return entry.get("value") if isinstance(entry, dict) and _text(entry.get("key")) == text else None


def remember(folder: Path, key: Key, value: Any) -> None:
    """Keep a JSON-able value; where nothing can be written, it is worked out again next time."""
    text = _text(key)
    file = _file(folder, text)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps({"key": key, "value": value}, indent=1))


def _text(key: Any) -> str:
    return json.dumps(key, sort_keys=True)


def _file(folder: Path, text: str) -> Path:
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
