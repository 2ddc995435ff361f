"""Reads what Python sources import, without running them."""

import ast
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

#: Modules that run code from the file they read.
PICKLES = frozenset({"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"})


class Rule(NamedTuple):
    """What the files of one room may import; names may hold ``*``."""

    own: frozenset[str]
    third_party: frozenset[str]

    def allows(self, module: str, own_rooms: Iterable[str]) -> bool:
        """Tell whether a file under this rule may import `module`."""
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            return top not in PICKLES
        if top in own_rooms:
            return any(fnmatchcase(module, pattern) for pattern in self.own)
        return top in self.third_party


class Import(NamedTuple):
    """One import: the full name of the module, the line, and whether it happens when the file is imported."""

    module: str
    line: int
    at_import: bool


def module_name(path: Path) -> str:
    """Return the dotted name of a file by its path relative to the root of the checkout."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_imports(source: str, path: Path, modules: frozenset[str]) -> list[Import]:
    """Return every import of a source text, those inside functions and by literal name included.

    Parameters
    ----------
    source
        Text of the file.
    path
        Where it lies, relative to the root of the checkout.
    modules
        Full names of the project's own modules: ``from package import name`` means a module where there is one.
    """
    tree = ast.parse(source)
    inside = {id(node) for function in ast.walk(tree) if _is_function(function) for node in ast.walk(function)}
    return [
        Import(name, node.lineno, id(node) not in inside)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call)
        for name in _imported_names(node, path, modules)
    ]


def find_pickling(source: str) -> list[int]:
    """Return the lines that ask a reader to run code from a file."""
    asked = {("allow_pickle", True), ("weights_only", False)}
    return [
        keyword.value.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if isinstance(keyword.value, ast.Constant) and (keyword.arg, keyword.value.value) in asked
    ]


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _imported_names(node: ast.Import | ast.ImportFrom | ast.Call, path: Path, modules: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = _package(node, path)
        for alias in node.names:
            full = f"{package}.{alias.name}"
            yield full if full in modules else package
    elif _calls_import(node.func) and node.args:
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def _calls_import(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__")


def _package(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    parts = path.parts[: len(path.parts) - node.level]
    return ".".join([*parts, *([node.module] if node.module else [])])
