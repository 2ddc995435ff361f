"""The pages say what is true: links lead somewhere, commands exist, snippets run, generated pages are current."""

import importlib.util
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.pages import Command, find_anchors, find_blocks, find_commands, find_links, find_pages

ROOT = Path(__file__).resolve().parent.parent
PAGES = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in find_pages(ROOT)}
COMMANDS = sorted({command for text in PAGES.values() for command in find_commands(text)})
SNIPPETS = {name: snippets for name, text in PAGES.items() if (snippets := find_blocks(text, "python"))}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    assert [link for link in find_links(PAGES[name]) if not _leads_somewhere(name, link)] == []


def _leads_somewhere(name: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (ROOT / name).parent / path if path else ROOT / name
    if not target.exists():
        return False
    return not anchor or anchor in find_anchors(target.read_text("utf-8"))


def test_the_check_sees_a_dead_link() -> None:
    text = "# A title\n[a](missing.md) ![b](no.png) [c](#a-title) [d](#none) [e](https://example.org) `[f](code.md)`\n"
    assert find_links(text) == ["missing.md", "no.png", "#a-title", "#none"]
    assert find_anchors(text) == {"a-title"}
    assert not _leads_somewhere("README.md", "missing.md")


def test_every_page_of_docs_is_named_in_the_index() -> None:
    index = find_links(PAGES["docs/index.md"])
    pages = {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")} - {"index.md"}
    assert pages - {link.partition("#")[0] for link in index} == set()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name or "usplit")
def test_every_command_in_the_pages_exists(command: Command) -> None:
    text = _help(command.name)
    assert [option for option in command.options if not re.search(rf"{option}\b", text)] == []


def test_every_command_is_told_in_the_pages() -> None:
    names = re.findall(r"^[│\s]*([a-z][a-z-]+)\s{2,}\S", _help("").partition("Commands")[2], re.MULTILINE)
    assert names
    assert set(names) - {command.name for command in COMMANDS} == set()


@cache
def _help(name: str) -> str:
    """Return the help text of a subcommand of `usplit`, or of `usplit` itself."""
    command = [sys.executable, "-m", "study", *([name] if name else []), "--help"]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_calls_of_the_command_are_found() -> None:
    text = "```console\n$ usplit run a.py \\\n    --set model.lc_depth=2 --store=there  # why\nfinished\n```\n"
    assert find_commands(text) == [Command("run", ("--set", "--store"))]


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_python_snippets_of_a_page_run_one_after_the_other(name: str, tmp_path: Path) -> None:
    script = tmp_path / "snippets.py"
    script.write_text("\n".join(SNIPPETS[name]), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_page_of_settings_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate_settings", ROOT / "docs" / "generate_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.render(), "run: python docs/generate_settings.py"
