"""From what the user wrote to a path that exists."""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from usplit_core.errors import DataError, nearest

PACKAGE_PREFIX = "package:"


def locate(name: str) -> Path:
    """Return the file or folder that `name` stands for.

    Parameters
    ----------
    name
        A path, or ``package:DISTRIBUTION/FILE`` for a file of an installed distribution, which is
        found without importing it.

    Raises
    ------
    DataError
        If there is no such file, then with the name of the nearest one, or it may not be looked at.
    """
    if name.startswith(PACKAGE_PREFIX):
        return _locate_in_package(name)
    with reachable(name):
        path = Path(name).expanduser()
        if path.exists():
            return path
        folder = path.parent
        if not folder.is_dir():
            raise DataError(f"{name} does not exist, nor does its folder: check the path, which starts at {Path.cwd()}")
        entries = sorted(entry.name for entry in folder.iterdir())
    close = get_close_matches(path.name, entries, n=1, cutoff=0)
    remedy = f"the nearest name there is {close[0]!r}" if close else "that folder is empty"
    raise DataError(f"{name} does not exist in {folder.absolute()}: {remedy}")


@contextmanager
def reachable(name: str) -> Iterator[None]:
    """Turn what the system says of a path that cannot be looked at into one message.

    Raises
    ------
    DataError
        If it may not be read, is no path, or names the home folder of nobody.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{name} cannot be looked at ({reason}): check the path and who may read it") from error


def _locate_in_package(name: str) -> Path:
    package, _, inner = name.removeprefix(PACKAGE_PREFIX).partition("/")
    if not package or not inner:
        raise DataError(f"{name!r} names no file: write package:DISTRIBUTION/FILE")
    files = _package_files(package)
    matches = [path for path in files if path.as_posix().endswith(f"/{inner}")]
    if matches:
        return min(matches, key=lambda path: len(path.parts))
    images = [path.name for path in files if path.suffix in (".tif", ".tiff", ".npy", ".npz")]
    remedy = nearest(Path(inner).name, images) if images else "it holds no images"
    raise DataError(f"the installed distribution {package!r} has no file {inner!r}: {remedy}")


def _package_files(package: str) -> list[Path]:
    """Return the files of a distribution, or of a package that was installed without its list of files."""
    try:
        entries = distribution(package).files
    except PackageNotFoundError:
        entries = None
    if entries:
        return [Path(str(entry.locate())) for entry in entries]
    try:
        spec = find_spec(package.replace("-", "_"))
    except (ImportError, ValueError):  # a name with dots or slashes, of which there is no package
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"the distribution {package!r} is not installed: run `pip install {package}`")
    return [path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*") if path.is_file()]
