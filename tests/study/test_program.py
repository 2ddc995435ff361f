"""Commands in messages can be copied into the shell that showed them."""

import sys
from pathlib import Path

import pytest

from study.commands.program import program


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an environment that is installed, and not activated."""
    scripts = tmp_path / "project" / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "usplit").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path / "project")
    return scripts


def test_the_name_is_enough_in_an_activated_environment(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installed))
    assert program() == "usplit"


def test_without_it_the_path_is_told(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program() == ".venv/bin/usplit"
    (installed.parents[2] / "elsewhere").mkdir()
    monkeypatch.chdir(installed.parents[2] / "elsewhere")
    assert program() == str(installed / "usplit")


def test_another_installation_of_that_name_is_not_meant(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usplit").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == ".venv/bin/usplit"


def test_where_no_script_was_installed_the_name_is_told(installed: Path) -> None:
    (installed / "usplit").unlink()
    assert program() == "usplit"
