"""`usplit new`: write a search space to begin with."""

import tempfile
from pathlib import Path

from rich.console import Console

from study.commands.program import program
from study.new_space import EXAMPLE_IMAGES, render_space
from study.spaces import load_space
from study.spec import evaluation_runs, train_runs
from study.words.checks import check_name
from usplit_core.data.frames import SYNTHETIC_PREFIX
from usplit_core.data.header import read_header
from usplit_core.data.locate import PACKAGE_PREFIX
from usplit_core.errors import ConfigError, OutputError


def new_command(name: str, out: Path, images: list[str], *, axes: str | None) -> None:
    """Write ``out/NAME.py`` and say how to go on; never replaces a file.

    Raises
    ------
    UserError
        If the name, the place or the images cannot be used.
    """
    check_name(name)
    if not out.is_dir():
        raise OutputError(f"{out} is no folder: make it first, or name one that exists with --out")
    file = out / f"{name}.py"
    if file.exists():
        raise OutputError(f"{file} exists and is not replaced: choose another name, or move it away")
    path = _images(images)
    text = render_space(name, path, read_header(path, axes=axes), axes=axes)
    _check(name, text)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise OutputError(f"{file} cannot be written ({error}): name another folder with --out") from error
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{file} is written. Read it, change what you like, then:", markup=False)
    for command in ("plan", "run"):
        console.print(f"  {program()} {command} {file}", markup=False)


def _images(images: list[str]) -> str | tuple[str, ...]:
    """Return the value of ``data.path``; a file is named from the root, for a study may run in another folder."""
    if not images:
        return EXAMPLE_IMAGES
    paths = [
        name if name.startswith((SYNTHETIC_PREFIX, PACKAGE_PREFIX)) else str(Path(name).expanduser().resolve())
        for name in images
    ]
    for path in paths:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            raise ConfigError(
                f"the name {path!r} is not in UTF-8, which search spaces are written in: rename it"
            ) from None
    return paths[0] if len(paths) == 1 else tuple(paths)


def _check(name: str, text: str) -> None:
    """Load the search space that is to be written, and resolve each of its runs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.py"
        file.write_text(text, encoding="utf-8")
        study = load_space(str(file))
    for run in train_runs(study):
        for _ in evaluation_runs(study, run):
            pass
