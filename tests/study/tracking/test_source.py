import subprocess
from pathlib import Path

from study.tracking.source import source_tags


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_commit_and_changes_of_the_working_directory_are_told(tmp_path: Path) -> None:
    _git(tmp_path, "init", "--quiet")
    assert source_tags(tmp_path) == {}
    (tmp_path / "space.py").write_text("STUDY = 1\n")
    _git(tmp_path, "add", "space.py")
    _git(tmp_path, "commit", "--quiet", "--message", "A study")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert source_tags(tmp_path) == {"mlflow.source.git.commit": commit, "usplit.git_dirty": "false"}
    (tmp_path / "notes.txt").write_text("not followed by Git")
    assert source_tags(tmp_path)["usplit.git_dirty"] == "false"
    (tmp_path / "space.py").write_text("STUDY = 2\n")
    assert source_tags(tmp_path)["usplit.git_dirty"] == "true"


def test_outside_of_a_repository_nothing_is_told(tmp_path: Path) -> None:
    assert source_tags(tmp_path) == {}
