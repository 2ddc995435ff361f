"""Holds the arrows of docs/architecture.md: who may import whom."""

import graphlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.imports import PICKLES, Import, Rule, find_imports, find_pickling, module_name

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("usplit_core", "study", "search_spaces", "analysis")


def rule(own: str, third_party: str = "") -> Rule:
    """Return a rule from names separated by spaces."""
    return Rule(frozenset(own.split()), frozenset(third_party.split()))


CORE = "usplit_core usplit_core.*"
STUDY = f"{CORE} study study.*"
ANALYSIS = (
    "analysis analysis.* usplit_core usplit_core.config usplit_core.settings usplit_core.vocabulary usplit_core.errors"
)
STUDY_PACKAGES = "numpy ray rich torch"
ANALYSIS_PACKAGES = "matplotlib numpy scipy"

#: File -> what it may import. The first pattern that fits counts; `*` also stands for folders.
TABLE = {
    "usplit_core/data/ome_zarr.py": rule(CORE, "numpy zarr"),
    "usplit_core/data/tiled_zarr.py": rule(CORE, "numpy zarr"),
    # Glyphs are drawn with the fonts that matplotlib brings; loaded only when somebody asks for them.
    "usplit_core/data/synthetic.py": rule(CORE, "numpy scipy matplotlib"),
    # No dependency: loaded only where it is installed.
    "usplit_core/inference/micro_ssim.py": rule(CORE, "numpy microssim"),
    "usplit_core/*":       rule(CORE, "numpy torch tifffile pydantic pydantic_core safetensors skimage scipy"),
    "search_spaces/*":     rule("study.spec usplit_core.presets"),
    "analysis/store.py":   rule(ANALYSIS, f"{ANALYSIS_PACKAGES} mlflow"),
    "analysis/frozen.py":   rule(ANALYSIS, f"{ANALYSIS_PACKAGES} pyarrow"),
    "analysis/freeze.py":  rule(ANALYSIS, f"{ANALYSIS_PACKAGES} pyarrow"),
    # Loaded only when a figure asks for the importance of factors.
    "analysis/importance.py": rule(ANALYSIS, f"{ANALYSIS_PACKAGES} optuna"),
    "analysis/sums_of_squares.py": rule(ANALYSIS, f"{ANALYSIS_PACKAGES} pandas statsmodels threadpoolctl"),
    "analysis/*":          rule(ANALYSIS, ANALYSIS_PACKAGES),
    "study/tracking/pictures.py": rule(STUDY, "numpy matplotlib PIL"),
    "study/tracking/system.py": rule(STUDY, "psutil torch"),
    "study/tracking/*":    rule(STUDY, f"{STUDY_PACKAGES} mlflow"),
    "study/engine/search.py":     rule(STUDY, "optuna"),
    # No dependency: loaded only where a store is shared through an object store.
    "study/sharing/objects.py": rule(STUDY, "obstore"),
    "study/words/layouts.py":    rule(STUDY, "pydoe"),
    "study/words/draws.py":      rule(STUDY, "numpy scipy"),
    "study/__main__.py":   rule(f"{STUDY} analysis analysis.*", "rich typer"),
    "study/spaces.py":     rule(f"{STUDY} search_spaces"),
    "study/cli*":          rule(f"{STUDY} analysis analysis.*", f"{STUDY_PACKAGES} typer"),
    "study/commands/*":    rule(f"{STUDY} analysis analysis.*", f"{STUDY_PACKAGES} typer"),
    "study/*":             rule(STUDY, STUDY_PACKAGES),
}  # fmt: skip

#: Distribution of a module, where the names differ.
DISTRIBUTIONS = {"PIL": "pillow", "pydantic_core": "pydantic", "skimage": "scikit-image", "yaml": "pyyaml"}

FILES = {path.relative_to(ROOT): path.read_text("utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py")}
MODULES = frozenset(module_name(path) for path in FILES)
IMPORTS: dict[Path, list[Import]] = {path: find_imports(source, path, MODULES) for path, source in FILES.items()}


def violations(source: str, path: Path) -> list[str]:
    """Return the imports of a source text that the table does not allow, one line each."""
    allowed = next((value for pattern, value in TABLE.items() if path.match(pattern) or _under(path, pattern)), None)
    if allowed is None:
        return [f"{path}: no row of the table says what this file may import"]
    return [
        f"{path}:{found.line} imports {found.module}"
        for found in find_imports(source, path, MODULES)
        if not allowed.allows(found.module, ROOMS)
    ]


def _under(path: Path, pattern: str) -> bool:
    return pattern.endswith("/*") and path.as_posix().startswith(pattern.removesuffix("*"))


def _third_party(imports: list[Import]) -> set[str]:
    tops = {found.module.partition(".")[0] for found in imports}
    return tops - {*ROOMS, "tests", "benchmarks"} - sys.stdlib_module_names


def _declared(*extras: str) -> set[str]:
    """Return the distributions that the project needs, and those of the extras named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [*project["dependencies"]]
    requirements += [requirement for extra in extras for requirement in project["optional-dependencies"][extra]]
    return {re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0] for requirement in requirements}


def _distributions(modules: set[str]) -> set[str]:
    return {DISTRIBUTIONS.get(module, module) for module in modules}


def find_cycle(imports: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import cycle, or nothing."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_every_import_follows_the_table() -> None:
    assert [line for path, source in FILES.items() for line in violations(source, path)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("usplit_core/training.py", "import ray"),
        ("usplit_core/data/frames.py", "def read():\n    from mlflow.tracking import MlflowClient"),
        ("usplit_core/models/hvae.py", "from study import spec"),
        ("usplit_core/checkpoint.py", "import pickle"),
        ("usplit_core/cost.py", "import importlib\nimportlib.import_module('optuna.samplers')"),
        ("analysis/figures/padding.py", "import torch"),
        ("analysis/report.py", "from mlflow import MlflowClient"),
        ("analysis/report.py", "from usplit_core.training import fit"),
        ("study/engine/runner.py", "import mlflow"),
        ("study/planning/plan.py", "from analysis.store import runs"),
        ("search_spaces/depth.py", "from study.engine.runner import run"),
        ("search_spaces/depth.py", "import numpy as np"),
        ("analysis/figures/style.py", "from .. import store\nfrom ...study import spec"),
        ("benchmarks/step.py", "import os"),
    ],
)
def test_the_check_sees_a_crossed_layer(path: str, source: str) -> None:
    assert len(violations(source, Path(path))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("usplit_core/models/hvae.py", "import torch\nfrom usplit_core.models import layers"),
        ("study/tracking/tracker.py", "import mlflow"),
        ("study/cli.py", "def figures():\n    from analysis import store"),
        ("search_spaces/depth.py", "from study.spec import Grid, Study"),
    ],
)
def test_the_check_lets_a_legal_import_pass(path: str, source: str) -> None:
    assert violations(source, Path(path)) == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {
        module_name(path): {found.module for found in imports if found.at_import and found.module in MODULES}
        for path, imports in IMPORTS.items()
    }
    assert find_cycle(graph) == []


def test_the_check_sees_a_cycle() -> None:
    assert set(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_an_import_inside_a_function_is_found_but_makes_no_cycle() -> None:
    found = find_imports("import os\ndef f():\n    import json\n", Path("study/a.py"), frozenset())
    assert found == [Import("os", 1, True), Import("json", 3, False)]


def test_every_third_party_package_is_declared() -> None:
    imported = set().union(*(_third_party(imports) for imports in IMPORTS.values()))
    assert _distributions(imported) - _declared("zarr", "microssim", "objectstore") == set()


#: Declared, but never imported by our own code.
INDIRECT = {
    "imagecodecs",  # tifffile reads compressed images with it
    "cmaes",  # Optuna's CMA-ES sampler
}


def test_every_declared_package_is_used() -> None:
    imported = set().union(*(_third_party(imports) for imports in IMPORTS.values()))
    assert _declared() - _distributions(imported) == INDIRECT


def test_tests_use_declared_packages_only() -> None:
    files = list((ROOT / "tests").rglob("*.py"))
    imports = [found for path in files for found in find_imports(path.read_text("utf-8"), path, MODULES)]
    assert _distributions(_third_party(imports)) - _declared("test", "zarr") == set()


def test_nothing_runs_code_from_a_file() -> None:
    assert {path: lines for path, source in FILES.items() if (lines := find_pickling(source))} == {}
    assert not any(found.module.partition(".")[0] in PICKLES for imports in IMPORTS.values() for found in imports)


def test_the_check_sees_a_reader_that_would_run_code() -> None:
    assert find_pickling("np.load(path, allow_pickle=True)") == [1]
    assert find_pickling("x = 1\ntorch.load(path, weights_only=False)") == [2]
    assert find_pickling("np.load(path, allow_pickle=False)") == []


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("analysis", ["torch", "ray", "optuna"]),
        ("usplit_core", ["ray", "optuna", "mlflow", "study", "analysis"]),
        ("search_spaces", ["torch", "ray", "optuna", "mlflow", "analysis"]),
    ],
)
def test_importing_a_room_does_not_load(room: str, never: list[str]) -> None:
    modules = sorted(name for name in MODULES if name.partition(".")[0] == room and "__main__" not in name)
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    assert _loaded_by(code, *modules) & set(never) == set()


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = {"torch", "ray", "mlflow", "optuna", "matplotlib", "scipy"}
    assert _loaded_by("import study.__main__") & heavy == set()


def _loaded_by(code: str, *arguments: str) -> set[str]:
    """Return the names of all modules that a fresh interpreter has loaded after running `code`."""
    command = [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))
