from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from usplit_core.errors import CheckpointError, DataError, OutputError
from usplit_core.models.noise_model import (
    NoiseModel,
    fit_noise_model,
    in_units,
    load_noise_model,
    log_likelihood,
    save_noise_model,
)

GAIN, READOUT = 2.0, 5.0


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Return signals of two structure channels and what a camera with shot and readout noise shows of them."""
    random = np.random.default_rng(0)
    signal = random.uniform([[[[100.0]], [[50.0]]]], [[[[400.0]], [[200.0]]]], (4, 2, 64, 64))
    return signal, signal + random.normal(0, np.sqrt(GAIN * signal + READOUT**2))


@pytest.fixture(scope="module")
def model(pairs: tuple[np.ndarray, np.ndarray]) -> NoiseModel:
    return fit_noise_model(*pairs, steps=300)


def test_fitted_likelihood_is_close_to_the_true_one(model: NoiseModel, pairs: tuple[np.ndarray, np.ndarray]) -> None:
    signal, observation = (torch.from_numpy(image).float() for image in pairs)
    truth = torch.distributions.Normal(signal, (GAIN * signal + READOUT**2).sqrt())
    expected = truth.log_prob(observation)  # type: ignore[no-untyped-call]  # torch does not type it
    fitted = log_likelihood(model, observation, signal)
    torch.testing.assert_close(fitted.mean(dim=(0, 2, 3)), expected.mean(dim=(0, 2, 3)), rtol=0, atol=0.02)


@pytest.mark.parametrize("signal", [120.0, 200.0])
def test_probabilities_add_up_to_one_and_average_to_the_signal(model: NoiseModel, signal: float) -> None:
    values = torch.linspace(signal - 200, signal + 200, 2001)
    observation = values.expand(2, 1, 2001)
    density = log_likelihood(model, observation, torch.full_like(observation, signal)).exp() * (400 / 2000)
    torch.testing.assert_close(density.sum(dim=2), torch.ones(2, 1), rtol=0, atol=1e-3)
    torch.testing.assert_close((density * values).sum(dim=2), torch.full((2, 1), signal), rtol=2e-3, atol=0)


def test_units_change_the_likelihood_by_their_scale_only(
    model: NoiseModel, pairs: tuple[np.ndarray, np.ndarray]
) -> None:
    mean, deviation = torch.tensor([200.0, 100.0]), torch.tensor([50.0, 25.0])
    signal, observation = (torch.from_numpy(image).float() for image in pairs)
    shown = [(image - mean[:, None, None]) / deviation[:, None, None] for image in (observation, signal)]
    normalised = log_likelihood(in_units(model, mean, deviation), *shown)
    expected = log_likelihood(model, observation, signal) + deviation.log()[:, None, None]
    torch.testing.assert_close(normalised, expected, rtol=1e-4, atol=1e-3)


def test_likelihood_has_a_gradient_outside_the_fitted_range(model: NoiseModel) -> None:
    signal = torch.full((1, 2, 1, 1), 10_000.0, requires_grad=True)
    torch.autograd.backward(log_likelihood(model, torch.full((1, 2, 1, 1), 300.0), signal).sum())
    assert signal.grad is not None
    assert bool((signal.grad < 0).all())


def test_file_holds_the_model(model: NoiseModel, tmp_path: Path) -> None:
    save_noise_model(tmp_path / "noise.safetensors", model)
    assert [file.name for file in tmp_path.iterdir()] == ["noise.safetensors"]
    for ours, read in zip(model, load_noise_model(tmp_path / "noise.safetensors"), strict=True):
        assert torch.equal(ours, read)


def test_a_place_that_cannot_be_written_is_one_message(model: NoiseModel, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose a folder that may be written to"):
        save_noise_model(tmp_path / "nowhere" / "noise.safetensors", model)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        load_noise_model(tmp_path / "missing.safetensors")
    save_file({"stem": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="holds stem"):
        load_noise_model(tmp_path / "other.safetensors")


def test_unfit_pairs_are_refused() -> None:
    image = np.ones((1, 2, 4, 4))
    with pytest.raises(DataError, match="of one shape"):
        fit_noise_model(image, image[:, :1])
    with pytest.raises(DataError, match="same signal"):
        fit_noise_model(image, image)
    with pytest.raises(DataError, match="finite"):
        fit_noise_model(image, np.full_like(image, np.nan))
