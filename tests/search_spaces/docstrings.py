"""Reads the docstring of a search space: its sections, its numbers and its commands."""

import ast
import re
import shlex
from pathlib import Path
from typing import NamedTuple

SECTIONS = ("Question", "Figures", "Command", "Trials", "Cost", "Expected", "Images")


class Told(NamedTuple):
    """What a docstring says; None where it does not."""

    title: str
    sections: dict[str, str]

    @property
    def trainings(self) -> int:
        """How many trainings."""
        return self._number("Trials", r"([\d,]+) trainings")

    @property
    def evaluations(self) -> int | None:
        """How many evaluations, where their number is fixed."""
        return self._number("Trials", r"([\d,]+) evaluations") if "evaluations" in self.sections["Trials"] else None

    @property
    def gpu_hours(self) -> int | None:
        """GPU-hours of all trainings, where they are told."""
        return self._number("Cost", r"([\d,]+) GPU-hours") if "GPU-hours" in self.sections["Cost"] else None

    @property
    def figures(self) -> list[str]:
        """The figures that the study feeds."""
        return self.sections["Figures"].split(", ")

    @property
    def commands(self) -> list[list[str]]:
        """Each call of the command in the docstring, as words; a section ends with it."""
        texts = [self.sections["Command"], self.sections["Cost"]]
        return [shlex.split(match.group()) for text in texts if (match := re.search(r"usplit run .*", text))]

    def _number(self, section: str, pattern: str) -> int:
        found = re.search(pattern, self.sections[section])
        assert found is not None, f"{section} does not say {pattern}"
        return int(found.group(1).replace(",", ""))


def read_docstring(path: Path) -> Told:
    """Return what the docstring of a search space says."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    title, _, body = text.partition("\n")
    sections: dict[str, str] = {}
    name = ""
    for line in body.splitlines():
        words = re.match(r"([A-Z][a-z]+)\s{2,}(\S.*)", line)
        if words:
            name = words.group(1)
            sections[name] = words.group(2)
        elif name and line.strip():
            sections[name] += f" {line.strip()}"
    return Told(title, {name: " ".join(section.split()) for name, section in sections.items()})
