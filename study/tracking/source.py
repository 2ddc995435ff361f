"""Which code a study is run from: the Git commit of the working directory, where it is in a repository."""

import subprocess
from pathlib import Path

_TIMEOUT_S = 10.0


def source_tags(folder: Path | None = None) -> dict[str, str]:
    """Return commit and dirty flag as tags of a run; empty outside of a repository, or without Git.

    Parameters
    ----------
    folder
        Where to look; None = the working directory.
    """
    where = Path.cwd() if folder is None else folder
    commit = _git(where, "rev-parse", "HEAD")
    if not commit:
        return {}
    changes = _git(where, "status", "--porcelain", "--untracked-files=no")
    tags = {"mlflow.source.git.commit": commit}
    # Nobody can say whether a repository is clean that Git could not look through in time.
    return tags if changes is None else {**tags, "usplit.git_dirty": str(bool(changes)).lower()}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
