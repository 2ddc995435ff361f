"""`usplit import`: from a checkpoint of the authors to a model file that predicts the same."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from study.__main__ import main
from tests.usplit_core.models.networks import reference, tensors
from usplit_core.checkpoint import load_model
from usplit_core.inference.prediction import Splitter

STATISTICS = {"clip": None, "input_mean": 100, "input_std": 50, "target_mean": [90, 110], "target_std": [40, 60]}


def usplit_import(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["usplit", "import", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a checkpoint as Lightning writes it, of the network whose numbers the reference holds."""
    weights = {
        name.removeprefix("weight/"): torch.from_numpy(value)
        for name, value in reference("hvae_regular").items()
        if name.startswith("weight/")
    }
    path = tmp_path / "best.ckpt"
    torch.save({"epoch": 35, "global_step": 9, "state_dict": weights, "optimizer_states": [{"state": {}}]}, path)
    return path


@pytest.fixture
def statistics(tmp_path: Path) -> Path:
    path = tmp_path / "statistics.json"
    path.write_text(json.dumps(STATISTICS), "utf-8")
    return path


def test_an_imported_network_predicts_what_the_authors_network_predicts(
    checkpoint: Path, statistics: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.with_name("model.safetensors")
    assert usplit_import(monkeypatch, checkpoint, "--out", out, "--statistics", statistics) == 0
    shown = capsys.readouterr().out
    assert "regular" in shown
    assert f"usplit predict {out}" in shown

    network, saved = load_model(out)
    arrays = reference("hvae_regular")
    with torch.no_grad():
        prediction = network(torch.from_numpy(arrays["input"]), latents=tensors(arrays, "latent"), with_kl=False)
    torch.testing.assert_close(prediction.mean, torch.from_numpy(arrays["mean"]), atol=1e-5, rtol=0)
    assert saved.epoch == 35
    assert saved.statistics.target_std == (40, 60)

    image = np.random.default_rng(0).poisson(100, (70, 90)).astype(np.uint16)
    split = Splitter.load(out).split(image)
    assert split.shape == (2, 70, 90)
    assert np.isfinite(split).all()


def test_statistics_are_computed_from_the_images_of_the_training(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.random.default_rng(0).poisson([[[[50]], [[200]]]], (10, 2, 64, 64)).astype(np.uint16)
    files = [tmp_path / "actin.tif", tmp_path / "mito.tif"]
    for channel, file in enumerate(files):
        tifffile.imwrite(file, frames[:, channel], metadata={"axes": "TYX"}, imagej=True)
    out = tmp_path / "model.safetensors"
    images = [word for file in files for word in ("--from-images", file)]
    assert usplit_import(monkeypatch, checkpoint, "--out", out, *images, "--set", "data.clip_quantile=1") == 0
    saved = load_model(out)[1]
    train = frames[2:].astype(float)
    assert saved.statistics.target_mean == pytest.approx(train.mean(axis=(0, 2, 3)))
    assert saved.statistics.input_std == pytest.approx(train.std())
    assert saved.split["frames"]["test"] == [0]
    assert saved.run.data.path == tuple(map(str, files))


def test_without_statistics_the_message_lists_what_to_give(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.safetensors"
    assert usplit_import(monkeypatch, checkpoint, "--out", out) == 2
    message = capsys.readouterr().err
    for part in ("--from-images", "--statistics", "clip", "input_mean", "input_std", "target_mean", "target_std"):
        assert part in message
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--set", "model.patch_px=128"], "a top prior of 64 px belongs to"),
        (["--set", "model.filters=8"], "tensors of another shape"),
        (["--set", "model.filter=8"], "did you mean 'model.filters'"),
        (["--set", "model.variant"], "NAME=VALUE"),
        (["--from-images", "cells.tif"], "exclude each other"),
        (["--out", "no/folder/model.safetensors"], "cannot be written"),
    ],
)
def test_what_does_not_fit_is_one_message(
    arguments: list[str],
    part: str,
    checkpoint: Path,
    statistics: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = checkpoint.with_name("model.safetensors")
    assert usplit_import(monkeypatch, checkpoint, "--out", out, "--statistics", statistics, *arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert part in message
    assert not out.exists()
