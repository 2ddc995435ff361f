"""Small images and studies that a test can afford to run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from study.store import Store


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a TIFF of six frames (6, 2, 64, 64): discs in one channel, stripes in the other."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    frames = np.zeros((6, 2, 64, 64), np.float32)
    for frame in frames:
        for _ in range(6):
            top, left = generator.uniform(0, 64, 2)
            frame[0] += 200.0 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / 20)
        frame[1] = 100 * (1 + np.sin(x * 0.7 + generator.uniform(0, 6)))
    frames += generator.normal(100, 5, frames.shape)
    path = tmp_path_factory.mktemp("images") / "cells.tif"
    tifffile.imwrite(path, frames.clip(0).astype(np.uint16), metadata={"axes": "TCYX"}, imagej=True)
    return path


SPACE = """
from study.spec import Grid, Study

STUDY = Study(
    name="small",
    question="Does a small study run?",
    base={{
        "data.path": {path!r}, "data.channels": (0, 1),
        "model.patch_px": 16, "model.depth": 2, "model.filters": 4, "model.latent_channels": 4,
        "train.epochs": 2, "train.steps_per_epoch": 2, "train.batch_size": 2,
    }},
    train={{"model.lc_depth": Grid(0, 1)}},
    evaluate={{"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(4)}},
    replicates=2,
)
"""


@pytest.fixture
def space(tmp_path: Path, images: Path) -> Path:
    """Return a search space of four trials and eight evaluations."""
    path = tmp_path / "small.py"
    path.write_text(SPACE.format(path=str(images)))
    return path


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a trial that has been trained for four epochs."""
    from tests.study.tracking.trials import write_training

    return write_training(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty database of MLflow, which takes seconds to make."""
    from study.tracking.client import connect

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    connect(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Store:
    """Return a store in which nothing has been computed."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return Store(tmp_path)
