"""Reads the project's Markdown pages: links, headings, fenced blocks, commands."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


class Command(NamedTuple):
    """One call of `usplit`: its subcommand (empty if none) and the options that it names."""

    name: str
    options: tuple[str, ...]


def find_pages(root: Path) -> list[Path]:
    """Return the pages at the root of the checkout and in the folders that hold some."""
    folders = [root / name for name in ("docs", "benchmarks", "deploy", "search_spaces")]
    return sorted([*root.glob("*.md"), *(page for folder in folders for page in folder.rglob("*.md"))])


def find_blocks(text: str, language: str) -> list[str]:
    """Return the text of every fenced block in `language`."""
    return [block.text for block in (Block(*match) for match in _FENCE.findall(text)) if block.language == language]


def find_links(text: str) -> list[str]:
    """Return the targets of all links and images that point into the project; code is no link."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    return [link for link in _LINK.findall(prose) if not re.match(r"[a-z]+:", link)]


def find_anchors(text: str) -> set[str]:
    """Return the anchors that the headings of a page make."""
    titles = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def find_commands(text: str) -> list[Command]:
    """Return every call of `usplit` in the console and shell blocks of a page."""
    blocks = [block for language in ("console", "bash", "sh") for block in find_blocks(text, language)]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    calls = [
        shlex.split(line.removeprefix("$ "), comments=True) for line in lines if re.match(r"(\$ )?\S*usplit ", line)
    ]
    return [Command(_subcommand(call), tuple(_options(call))) for call in calls]


def _subcommand(call: list[str]) -> str:
    return next((word for word in call[1:] if not word.startswith("-")), "")


def _options(call: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in call[1:] if word.startswith("--")]
