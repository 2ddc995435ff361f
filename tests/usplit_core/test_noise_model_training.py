"""A training whose likelihood is a noise model: its numbers, its file, and what it refuses."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.usplit_core.trainings import Listener, tiny_fit, tiny_parts, tiny_run, weights
from usplit_core import learner, validation
from usplit_core.config import RunConfig
from usplit_core.cost import estimate
from usplit_core.errors import CheckpointError, ConfigError
from usplit_core.models import Prediction
from usplit_core.models.noise_model import NoiseModel, save_noise_model
from usplit_core.objective import Loss, compute_loss

#: Range of the signals of `tiny_parts`, whose noise is that of counting.
LOW, HIGH = 50.0, 150.0


def counting_noise(channels: int = 2) -> NoiseModel:
    """Return Gaussian noise whose variance is the signal: one component, two coefficients."""
    extent = HIGH - LOW
    variance = torch.tensor([LOW, extent]) / extent**2
    zeros = torch.zeros(channels, 1, 2)
    low, high = torch.full((channels,), LOW), torch.full((channels,), HIGH)
    return NoiseModel(zeros, zeros.clone(), variance.log().expand(channels, 1, 2), low, high)


@pytest.fixture
def noise_file(tmp_path: Path) -> Path:
    path = tmp_path / "noise.safetensors"
    save_noise_model(path, counting_noise())
    return path


def noisy_run(path: Path, **settings: Any) -> RunConfig:
    settings = {"model__log_variance": "none", "objective__likelihood": "noise_model", **settings}
    return tiny_run(objective__noise_model_path=str(path), **settings)


def reconstruction_by_hand(prediction: Tensor, target: Tensor, run: RunConfig) -> Tensor:
    """Return -log p of each structure channel, (C,), from intensities; a density is in network units."""
    _, statistics = tiny_parts(run)
    mean, deviation = (
        torch.tensor(values)[:, None, None] for values in (statistics.target_mean, statistics.target_std)
    )
    signal, observation = (image * deviation + mean for image in (prediction, target))
    # Beyond its range the model has the width of the nearest signal in it.
    variance = signal.clamp(LOW, HIGH)
    nats = 0.5 * ((observation - signal).square() / variance + (2 * torch.pi * variance).log()) - deviation.log()
    return nats.mean(dim=(0, 2, 3))


@pytest.mark.parametrize("architecture", ["hvae", "hae"])
@pytest.mark.parametrize("module", [learner, validation], ids=["training", "validation"])
def test_the_loss_is_that_of_a_hand_computation(
    architecture: str, module: ModuleType, noise_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = noisy_run(noise_file, model__architecture=architecture, train__epochs=1)
    seen: list[tuple[Tensor, Tensor]] = []

    def watched(prediction: Prediction, target: Tensor, config: RunConfig, **arguments: Any) -> Loss:
        loss = compute_loss(prediction, target, config, **arguments)
        seen.append((loss.reconstruction.detach(), reconstruction_by_hand(prediction.mean.detach(), target, run)))
        return loss

    monkeypatch.setattr(module, "compute_loss", watched)
    listener = Listener()
    tiny_fit(run, tmp_path / "trained", report=listener)
    assert seen
    for ours, by_hand in seen:
        torch.testing.assert_close(ours, by_hand, rtol=1e-4, atol=1e-4)
    if module is learner:
        mean = torch.stack([by_hand.mean() for _, by_hand in seen]).mean().item()
        assert listener.reports[0].metrics["train/reconstruction"] == pytest.approx(mean, rel=1e-4)


def test_a_resumed_training_equals_an_uninterrupted_one(noise_file: Path, tmp_path: Path) -> None:
    run = noisy_run(noise_file)
    whole, first, second = Listener(), Listener(epoch=2), Listener()
    expected = tiny_fit(run, tmp_path / "whole", report=whole)
    tiny_fit(run, tmp_path / "parts", report=first)
    # Where the file lies does not matter.
    moved = noise_file.rename(tmp_path / "moved.safetensors")
    resumed = tiny_fit(noisy_run(moved), tmp_path / "parts", report=second)
    assert first.numbers() + second.numbers() == whole.numbers()
    torch.testing.assert_close(weights(resumed.model), weights(expected.model), rtol=0, atol=0)


def test_the_trained_network_needs_the_noise_model_no_more(noise_file: Path, tmp_path: Path) -> None:
    run = noisy_run(noise_file, train__epochs=1)
    result = tiny_fit(run, tmp_path / "trained")
    noise_file.unlink()
    assert weights(result.model)
    assert tiny_fit(run, tmp_path / "trained") == result


def test_a_noise_model_that_cannot_be_used_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    def refused(path: Path, message: str) -> None:
        with pytest.raises(CheckpointError, match=message):
            tiny_fit(noisy_run(path), tmp_path / "trained", report=lambda _: pytest.fail("trained"))
        assert not (tmp_path / "trained").exists()

    refused(tmp_path / "missing.safetensors", r"cannot read .*missing\.safetensors.*usplit noise-model")
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"something else")
    refused(foreign, r"cannot read .*foreign\.safetensors")
    save_noise_model(tmp_path / "three.safetensors", counting_noise(channels=3))
    refused(tmp_path / "three.safetensors", r"is of 3 structure channels, and data\.channels names 2")
    damaged = counting_noise()._replace(low=torch.full((2,), torch.nan))
    save_noise_model(tmp_path / "damaged.safetensors", damaged)
    refused(tmp_path / "damaged.safetensors", "damaged noise model")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__log_variance": "pixelwise"}, r"model\.log_variance = 'pixelwise'; set model\.log_variance to none"),
        ({"model__architecture": "unet"}, "unet minimises the squared error"),
        ({"model__architecture": "bravenet"}, "bravenet minimises the squared error"),
        ({"data__background_quantile": 0.01}, r"set data\.background_quantile to 0"),
    ],
)
def test_a_run_that_has_no_use_for_a_noise_model_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^objective\.likelihood = 'noise_model': .*{message}"):
        noisy_run(Path("noise.safetensors"), **settings)


def test_the_cost_of_a_noise_model_is_estimated(noise_file: Path) -> None:
    with_noise_model, without = (estimate(run) for run in (noisy_run(noise_file), tiny_run(model__log_variance="none")))
    assert with_noise_model.parameters == without.parameters
    assert with_noise_model.activation_bytes_per_step > without.activation_bytes_per_step


@pytest.mark.parametrize("architecture", ["unet", "hae"])
def test_a_setting_that_the_network_does_not_know_hinders_no_resuming(architecture: str, tmp_path: Path) -> None:
    tiny_fit(tiny_run(model__architecture=architecture), tmp_path, report=Listener(epoch=1))
    rest = Listener()
    tiny_fit(tiny_run(model__architecture=architecture, objective__kl_weight=2.0), tmp_path, report=rest)
    assert [report.epoch for report in rest.reports] == [2, 3, 4]


@pytest.mark.gpu
def test_a_noise_model_follows_the_network_to_the_gpu(noise_file: Path, tmp_path: Path) -> None:
    assert tiny_fit(noisy_run(noise_file), tmp_path / "trained", device="cuda").epochs_run == 4
