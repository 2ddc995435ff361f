"""The results file of a benchmark: settings, and one entry a training.

So long benchmarks can be split over several calls and taken up again.
"""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from usplit_core import NUMERICS_VERSION, __version__
from usplit_core.errors import ConfigError, DataError

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).resolve().parent / "results"

Run = dict[str, Any]


def load_runs(path: Path, settings: Mapping[str, Any]) -> dict[str, Run]:
    """Return the runs that `path` holds, by key; empty where there is no such file.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds results of other settings.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
        runs: dict[str, Run] = content["runs"]
        same = content["settings"] == _identity(settings)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no results file of a benchmark ({error!r}): name another with --out") from None
    if not same:
        raise ConfigError(
            f"{path} holds results of other settings, or of a version that computes other numbers: "
            "name another file with --out, or delete it"
        )
    return runs


def add_run(path: Path, settings: Mapping[str, Any], key: str, run: Run) -> None:
    """Put one more run into the file, with what it was measured on; the file is whole at any time."""
    # Read again: another call of the benchmark may have added runs meanwhile.
    runs = load_runs(path, settings) | {key: {**run, "machine": machine()}}
    content = {"settings": _identity(settings), "runs": dict(sorted(runs.items()))}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    partial.replace(path)


def machine() -> dict[str, Any]:
    """Return what a result depends on beside its settings."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "usplit": __version__,
    }


def find_folder(variable: str, name: str, holds: str) -> Path:
    """Return the folder that an environment variable names, or that lies beside the checkout in ``shared``.

    Raises
    ------
    DataError
        If it is not there.
    """
    folder = Path(os.environ.get(variable) or REPOSITORY.parent / "shared" / name)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; set {variable} to the one that holds {holds}")
    return folder


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _identity(settings: Mapping[str, Any]) -> Any:
    """Return what all runs of a file have in common, as JSON gives it back."""
    return json.loads(json.dumps({**settings, "numerics": NUMERICS_VERSION}))


def numbers(text: str) -> list[int]:
    """Return the whole numbers of a list such as ``0,1,2``."""
    return [int(item) for item in text.split(",")]


def mean_and_deviation(values: Sequence[float]) -> str:
    """Return mean ± standard deviation, such as ``24.51 ± 0.62``; one value has no deviation."""
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean
