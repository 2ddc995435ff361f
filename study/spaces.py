"""Load a search space: a Python file with one name, ``STUDY``."""

import importlib.util
import traceback
from pathlib import Path

from study.errors import SpaceError
from study.spec import Study
from usplit_core.errors import UserError, nearest


def shipped_spaces() -> dict[str, Path]:
    """Return the search spaces that come with the package, by name."""
    import search_spaces

    folder = Path(search_spaces.__path__[0])
    return {path.stem: path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")}


def load_space(name: str) -> Study:
    """Return the study of a search-space file, or of a shipped one by its name.

    Raises
    ------
    SpaceError
        If there is no such file, or it cannot be executed, or it defines no study.
    UserError
        If what it says is no legal study.
    """
    path = find_space(name)
    spec = importlib.util.spec_from_file_location(f"usplit_space_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SpaceError(f"{name}: is no Python file; a search space ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError as error:
        raise SpaceError(f"{name}: {error}") from None
    except (Exception, SystemExit) as error:  # whatever a user's file raises is the user's to mend: name file and line
        raise SpaceError(f"{name}, line {_line(error, path)}: {type(error).__name__}: {error}") from None
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise SpaceError(f"{name}: defines no STUDY = Study(…); see search_spaces/quickstart.py")
    return study


def find_space(name: str) -> Path:
    """Return the file of a search space, or of a shipped one by its name.

    Raises
    ------
    SpaceError
        If there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    spaces = shipped_spaces()
    if path.stem in spaces and path.suffix in ("", ".py") and path.parent.name in ("", "search_spaces"):
        return spaces[path.stem]
    raise SpaceError(f"search space {name!r}: no such file, and none of that name is shipped; {nearest(name, spaces)}")


def _line(error: BaseException, path: Path) -> int:
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return error.lineno
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return frames[-1].lineno or 0 if frames else 0
