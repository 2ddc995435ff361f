"""The shipped search spaces keep what their docstrings promise: numbers, costs, figures, commands."""

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.figures import FIGURES
from study.commands.spaces import study_from
from study.engine.search import SearchSource
from study.planning.design import PlannedTrial, plan_trials
from study.spaces import load_space, shipped_spaces
from study.spec import Study, evaluation_runs, runs_of_point, train_runs
from study.words.designs import Search
from tests.search_spaces.docstrings import SECTIONS, Told, read_docstring
from usplit_core.config import DataConfig, ModelConfig, ObjectiveConfig, RunConfig, check_tiling
from usplit_core.cost import estimate
from usplit_core.models import build
from usplit_core.presets import DATA_SETS

SPACES = shipped_spaces()
STUDIES = {name: load_space(str(path)) for name, path in SPACES.items()}
TOLD = {name: read_docstring(path) for name, path in SPACES.items()}
SEARCHES = [name for name, study in STUDIES.items() if isinstance(study.design, Search)]
DESIGNS = [name for name in STUDIES if name not in SEARCHES]

#: What the docstrings take a GPU to sustain.
FLOPS_PER_SECOND = 20e12


def plan(study: Study) -> list[PlannedTrial]:
    """Return the trials of a study without reading its images."""
    return plan_trials(study, lambda data: f"{data.path} {data.channels}")


@cache
def gpu_hours(model: ModelConfig, batch_size: int, steps: int) -> float:
    """Return how long one training takes a GPU that sustains what the docstrings say."""
    data = DataConfig(path="any", channels=tuple(range(model.structure_channels)))
    train = {"batch_size": batch_size}
    run = RunConfig.model_validate({"data": data, "model": model, "train": train})
    return estimate(run).step_flops * steps / FLOPS_PER_SECOND / 3600


def hours_of(run: RunConfig) -> float:
    """Return the GPU-hours of one training."""
    return gpu_hours(run.model, run.train.batch_size, run.train.epochs * (run.train.steps_per_epoch or 1))


@pytest.mark.parametrize("name", SPACES)
def test_a_docstring_has_every_section_and_names_its_own_file(name: str) -> None:
    told = TOLD[name]
    assert tuple(told.sections) == SECTIONS
    assert told.title.endswith((".", "?"))
    assert {command[2] for command in told.commands} == {f"search_spaces/{name}.py"}
    assert STUDIES[name].name == name


@pytest.mark.parametrize("name", DESIGNS)
def test_as_many_runs_are_planned_as_the_docstring_says(name: str) -> None:
    trials = plan(STUDIES[name])
    assert TOLD[name].trainings == len(trials)
    assert TOLD[name].evaluations == sum(len(set(trial.evaluation_keys)) for trial in trials)


@pytest.mark.parametrize("name", SPACES)
def test_the_figures_of_a_docstring_exist(name: str) -> None:
    assert set(TOLD[name].figures) - set(FIGURES) == set()


@pytest.mark.parametrize("name", SPACES)
def test_every_command_of_a_docstring_is_a_study(name: str) -> None:
    for command in TOLD[name].commands:
        settings = [word for word in command[3:] if word != "--set"]
        study = study_from(command[2], settings, None)
        assert list(train_runs(study)) != []
        assert len(plan(study)) > 0 or name in SEARCHES


@pytest.mark.parametrize("name", DESIGNS)
def test_the_networks_can_be_built(name: str) -> None:
    for model in {trial.run.model for trial in plan(STUDIES[name])}:
        with torch.device("meta"):
            assert sum(parameter.numel() for parameter in build(model).parameters()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in DESIGNS if TOLD[name].gpu_hours])
def test_a_study_costs_what_its_docstring_says(name: str) -> None:
    hours = sum(hours_of(trial.run) for trial in plan(STUDIES[name]))
    assert hours == pytest.approx(TOLD[name].gpu_hours, rel=0.15, abs=0.5)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_tiling_fits_its_network(name: str) -> None:
    for trial in plan(STUDIES[name]):
        for tiling in trial.tilings:
            check_tiling(trial.run.model, tiling)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_hundred_draws_of_a_search_are_legal_runs(name: str) -> None:
    study = replace(STUDIES[name], design=Search(trials=100))
    source = SearchSource(study, ())
    random = np.random.default_rng(0)
    drawn = 0
    while (point := source.next_point()) is not None:
        drawn += 1
        for run in runs_of_point(study, point.settings):
            for evaluation in evaluation_runs(study, run):
                check_tiling(evaluation.model, evaluation.tiling)
        source.tell(point.number, (float(random.normal(30, 2)),), "finished")
    assert drawn == 100


def test_the_search_varies_the_kl_divergence_of_the_hvae_only() -> None:
    study = STUDIES["tune_splitting"]
    runs = list(train_runs(study))
    assert {run.model.architecture for run in runs} == {"hvae", "hae"}
    assert all(run.model.lc_depth <= run.model.depth for run in runs)
    assert {run.objective for run in runs if run.model.architecture == "hae"} == {ObjectiveConfig()}
    assert study.design == Search(trials=TOLD["tune_splitting"].trainings)


@pytest.mark.parametrize("name", [name for name in SPACES if name != "paper_table"])
def test_a_shipped_space_needs_no_download(name: str) -> None:
    paths = {run.data.path for run in train_runs(STUDIES[name])}
    assert all(isinstance(path, str) and path.startswith(("synthetic:", "package:")) for path in paths)


def test_the_generated_half_of_the_paper_needs_no_download() -> None:
    told = TOLD["paper_table"]
    command = told.commands[-1]
    study = study_from(command[2], [word for word in command[3:] if word != "--set"], None)
    trials = plan(study)
    assert {trial.run.data.path for trial in trials} == {"synthetic:critters-n0", "synthetic:critters-n25"}
    assert f"{len(trials)} trainings" in told.sections["Cost"]


def test_the_table_of_the_paper_has_every_cell() -> None:
    networks = [*itertools.product(("hvae", "hae"), ("vanilla", "lean", "regular", "deep"))]
    networks += [("unet", "vanilla"), ("unet", "deep"), ("bravenet", "regular")]
    # Hagen et al. take the channels in the order of their files.
    rows = [{"data.channels": (0, 1), "data.axes": None, **row} for row in DATA_SETS.values()]
    expected = {
        (row["data.channels"], row["data.axes"], row["data.split"], row["data.border"], row.get("data.path"), *network)
        for row in rows
        for network in networks
    }
    planned = set()
    for trial in plan(STUDIES["paper_table"]):
        data, model = trial.run.data, trial.run.model
        path = data.path if str(data.path).startswith("synthetic:") else None
        planned.add((data.channels, data.axes, data.split, data.border, path, model.architecture, model.variant))
    assert len(planned) == 66
    assert planned == expected


def test_the_page_of_studies_lists_the_shipped_spaces() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "studies.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| [`")]
    assert rows == [row_of(name, told) for name, told in TOLD.items()]


def row_of(name: str, told: Told) -> str:
    """Return the row of a search space in the page of studies."""
    evaluations = "of each that finishes" if told.evaluations is None else told.evaluations
    cost = "minutes on a CPU" if told.gpu_hours is None else told.gpu_hours
    return f"| [`{name}`](../search_spaces/{name}.py) | {told.title} | {told.trainings} | {evaluations} | {cost} |"
