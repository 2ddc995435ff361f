"""Noise models in a study: the command that fits one, and what they mean for the identity of a trial."""

import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from study.__main__ import main
from study.planning.fingerprint import fingerprint
from study.planning.noise_models import keep_noise_model
from usplit_core.config import RunConfig
from usplit_core.errors import CheckpointError
from usplit_core.models import noise_model
from usplit_core.models.noise_model import load_noise_model, standard_deviation
from usplit_core.settings import resolve

GAIN, READOUT = 2.0, 5.0


def usplit(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["usplit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def _short_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit in a third of the steps: enough for noise as plain as this."""
    monkeypatch.setattr(noise_model, "fit_noise_model", partial(noise_model.fit_noise_model, steps=300))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one clean frame of two channels, and four recordings of it."""
    folder = tmp_path_factory.mktemp("pairs")
    random = np.random.default_rng(0)
    signal = random.uniform(20, 400, (1, 2, 96, 96))
    recorded = GAIN * random.poisson(np.repeat(signal, 4, axis=0) / GAIN) + random.normal(0, READOUT, (4, 2, 96, 96))
    for name, pixels in (("clean", signal), ("noisy", recorded), ("small", signal[..., :50])):
        tifffile.imwrite(folder / f"{name}.tif", pixels.astype(np.float32), metadata={"axes": "TCYX"}, imagej=True)
    return folder


def test_the_command_fits_tells_and_draws(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "noise.safetensors"
    assert usplit(monkeypatch, "noise-model", pairs / "clean.tif", pairs / "noisy.tif", "--out", out) == 0
    assert {path.name for path in out.parent.iterdir()} == {"noise.safetensors", "noise.png", "noise.pdf"}
    text = capsys.readouterr().out
    assert re.search(r"channel 0 +\S+ to \S+ +\S+ to \S+ +\S+ to \S+ +\d+\.\d% +0\.0\d +\+0\.\d+", text)
    assert "off" not in text
    levels = np.array([[40.0, 100.0, 200.0, 350.0]] * 2)[:, None]  # (C, 1, X)
    fitted = standard_deviation(load_noise_model(out), torch.from_numpy(levels).float())
    assert fitted.numpy() == pytest.approx(np.sqrt(GAIN * levels + READOUT**2), rel=0.06)


def test_channels_and_sizes_are_the_users_and_a_signal_that_is_no_mean_is_told(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shifted, out = tmp_path / "shifted.npy", tmp_path / "noise.safetensors"
    np.save(shifted, tifffile.imread(pairs / "noisy.tif") + np.array([[[0]], [[10]]]))
    arguments = (pairs / "clean.tif", shifted, "--out", out, "--channels", "1,0", "--gaussians", 1, "--coefficients", 2)
    assert usplit(monkeypatch, "noise-model", *arguments) == 0
    assert load_noise_model(out).weights.shape == (2, 1, 2)
    text = capsys.readouterr().out
    assert "channel 1: the observation is up to" in text
    assert "channel 0: the observation is up to" not in text


@pytest.mark.parametrize(
    ("images", "out", "message"),
    [
        (("clean.tif", "small.tif"), "noise.safetensors", "1 x 2 x 96 x 96 and the observation 1 x 2 x 96 x 50"),
        (("clean.tif", "nosy.tif"), "noise.safetensors", "nearest name there is 'noisy.tif'"),
        (("clean.tif", "noisy.tif"), "noise.npz", "is a .safetensors file"),
    ],
)
def test_what_cannot_be_fitted_is_one_message(
    images: tuple[str, str],
    out: str,
    message: str,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [pairs / name for name in images]
    assert usplit(monkeypatch, "noise-model", *paths, "--out", tmp_path / out) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_help_shows_an_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert usplit(monkeypatch, "noise-model", "--help") == 0
    assert "Example: usplit noise-model" in " ".join(capsys.readouterr().out.split())


def noisy_run(path: Path, **settings: Any) -> RunConfig:
    base = {"data.path": "cells.tif", "model.log_variance": "none", "objective.likelihood": "noise_model"}
    return resolve(base | {"objective.noise_model_path": str(path)} | settings)


def test_a_trial_is_known_by_the_content_of_its_noise_model_not_by_its_place(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one", "same", "other")]
    for file, content in zip(files, (b"a", b"a", b"b"), strict=True):
        file.write_bytes(content)
    one, same, other = (fingerprint(noisy_run(file), "content") for file in files)
    assert one == same
    assert one != other


def test_a_missing_noise_model_is_refused_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"noise_model_path = .*missing.*cannot be read.*usplit noise-model"):
        fingerprint(noisy_run(tmp_path / "missing"), "content")


def test_a_study_with_an_unusable_noise_model_is_refused(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"something else")
    settings = ("model.log_variance=none", "objective.likelihood=noise_model", f"objective.noise_model_path={foreign}")
    flags = [flag for setting in settings for flag in ("--set", setting)]
    assert usplit(monkeypatch, "run", space, "--store", tmp_path / "store", *flags) == 2
    assert "cannot read the noise model" in capsys.readouterr().err
    assert not (tmp_path / "store" / "ledger.sqlite").exists()


def test_workers_find_the_noise_model_in_the_store(tmp_path: Path) -> None:
    original = tmp_path / "noise.safetensors"
    original.write_bytes(b"numbers")
    run = noisy_run(original)
    kept = [keep_noise_model(run, tmp_path / "store") for _ in range(2)]
    assert kept[0] == kept[1]
    path = Path(str(kept[0].objective.noise_model_path))
    assert [*(tmp_path / "store").iterdir()] == [path]
    assert path.read_bytes() == b"numbers"
    assert fingerprint(kept[0], "content") == fingerprint(run, "content")
    plain = resolve({"data.path": "cells.tif"})
    assert keep_noise_model(plain, tmp_path / "store") == plain


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("unet", {"model.dropout": 0.3, "model.latent_channels": 8, "model.log_variance": "none"}),
        ("bravenet", {"model.latent_channels": 8, "model.min_log_variance": -3.0}),
        ("hae", {"objective.kl_weight": 2.0, "objective.free_bits": 1.0}),
    ],
)
def test_settings_that_a_network_does_not_know_make_no_other_trial(architecture: str, settings: dict[str, Any]) -> None:
    def identity(architecture: str, settings: dict[str, Any]) -> str:
        base = {"data.path": "cells.tif", "model.architecture": architecture}
        return fingerprint(resolve(base | settings), "content")

    assert identity(architecture, settings) == identity(architecture, {})
    assert identity("hvae", settings) != identity("hvae", {})
