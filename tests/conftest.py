"""What every test can count on: quiet libraries, one thread, and real images where there are some."""

import os
import sys
from pathlib import Path

import pytest

# Before any test imports these libraries: they read the environment once.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MPLBACKEND"] = "agg"
# One thread: sums are then made in the same order on every machine, and several test processes share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
# As in an activated environment, in which commands are told by their name.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what the tests remember away from the user's cache."""
    os.environ["USPLIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images, which is no part of the repository."""
    named = os.environ.get("USPLIT_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder}: set USPLIT_DATA to a folder that has them")
    return folder
