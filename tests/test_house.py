"""The house around the code: versions agree, installation is pinned, files stay small, nothing private is left in."""

import ast
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import usplit_core

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("usplit_core", "study", "search_spaces", "analysis")
FOLDERS = (*ROOMS, "tests", "docs", "benchmarks", "deploy")
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 60

PYTHON_FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TEXT_SUFFIXES = {".cff", ".css", ".html", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}
TEXT_FILES = [
    path
    for path in [*ROOT.iterdir(), *(path for folder in (*FOLDERS, ".ci") for path in (ROOT / folder).rglob("*"))]
    if path.suffix in TEXT_SUFFIXES or path.name in ("Makefile", "LICENSE", "run")
]


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): pin for name, pin in pins.items()}


def test_the_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [usplit_core.__version__]


def test_every_room_says_that_it_is_typed() -> None:
    assert [room for room in ROOMS if not (ROOT / room / "py.typed").is_file()] == []


def test_every_pin_is_a_name_and_a_version() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))


def test_the_pins_fit_the_ranges_of_the_project() -> None:
    project, pins = _project(), _pins()
    requirements = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["test"]]
    names = {canonicalize_name(requirement.name): requirement for requirement in requirements}
    assert set(names) - set(pins) == set()
    assert [name for name, requirement in names.items() if pins[name] not in requirement.specifier] == []


def test_the_tests_run_with_the_pinned_torch() -> None:
    assert version("torch").partition("+")[0] == _pins()["torch"]


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text("utf-8")
    assert source.count("\n") <= MOST_LINES_OF_A_FILE
    assert list(_long_functions(source)) == []


def _long_functions(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                yield f"{node.name}: {lines} lines"


def test_the_check_sees_a_long_function() -> None:
    assert list(_long_functions("def f():\n" + "    pass\n" * MOST_LINES_OF_A_FUNCTION)) == ["f: 61 lines"]


def test_no_file_names_a_place_of_one_machine() -> None:
    private = re.compile("/" + "(?:home|root|work|farm)/")
    assert [str(path) for path in TEXT_FILES if private.search(path.read_text("utf-8"))] == []


def test_the_checks_of_a_change_run_what_make_test_runs() -> None:
    def pytest_calls(name: str) -> list[str]:
        return re.findall(r"python -m (pytest[^|\n]*?) *(?:\|\||$)", (ROOT / name).read_text("utf-8"), re.MULTILINE)

    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert pytest_calls(".ci/run") == pytest_calls("Makefile")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_refuses_an_old_python_and_says_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n', encoding="utf-8")
    old.chmod(0o755)
    done = _make(tmp_path, "test", f"PYTHON={old}")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert "make PYTHON=python3.12 test" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_second_call_of_make_installs_nothing(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    done = _make(tmp_path, "--dry-run", "demo")
    assert "pip install" in done.stdout
    for stamp in (".installed", ".samples"):
        (tmp_path / ".venv" / stamp).touch()
    done = _make(tmp_path, "--dry-run", "demo")
    assert done.stdout.splitlines() == [".venv/bin/usplit run search_spaces/quickstart.py"]


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call make in a folder that holds what it reads, as if no other make had started these tests."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        if not (folder / name).exists():
            shutil.copy(ROOT / name, folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
