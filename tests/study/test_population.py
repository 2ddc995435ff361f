"""A population from its file to its report, as a user runs it."""

from pathlib import Path

import pytest

from tests.study.test_run import count_runs, usplit

pytestmark = pytest.mark.slow

POPULATION = """
from study.spec import Choice, Grid, LogUniform, Population, Study

STUDY = Study(
    name="course",
    question="Does a population run?",
    base={{
        "data.path": {path!r}, "model.patch_px": 16, "model.depth": 2, "model.filters": 4, "model.latent_channels": 4,
        "model.lc_depth": 0, "train.epochs": 2, "train.steps_per_epoch": 2, "train.batch_size": 2,
    }},
    train={{"train.learning_rate": LogUniform(1e-4, 1e-1), "objective.kl_weight": Choice(0.5, 1.0, 2.0)}},
    evaluate={{"tiling.padding_px": Grid(2)}},
    design=Population(members=3, generations=2),
    objective="validation/psnr_db",
)
"""


def test_a_population_runs_and_goes_on_with_a_further_generation(images: Path, tmp_path: Path) -> None:
    space, store = tmp_path / "course.py", tmp_path / "store"
    space.write_text(POPULATION.format(path=str(images)))
    first = usplit("run", space, "--store", store)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "a population of 3 members over 2 generations" in first.stdout
    assert "Trained 6, evaluated 3" in first.stdout
    assert count_runs(store)["trial"] == 6
    assert (store / "studies" / "course" / "best.safetensors").exists()

    longer = usplit("run", space, "--store", store, "--set", "generations=3", "--name", "course")
    assert longer.returncode == 0, longer.stdout + longer.stderr
    assert "Trained 3, evaluated 3" in longer.stdout
