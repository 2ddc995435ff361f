"""Our networks compute what the authors' implementation computes with the same weights."""

import numpy as np
import pytest
import torch

from tests.usplit_core.models.networks import network, reference, tensors
from usplit_core.config import RunConfig
from usplit_core.interop import load_original_state_dict
from usplit_core.models import Network
from usplit_core.objective import compute_loss
from usplit_core.settings import resolve

LADDERS = [
    ("hae_vanilla", "hae", "vanilla"),
    ("hvae_vanilla", "hvae", "vanilla"),
    ("hae_lean", "hae", "lean"),
    ("hvae_regular", "hvae", "regular"),
]
ladders = pytest.mark.parametrize(("file", "architecture", "variant"), LADDERS)
stochastic_ladders = pytest.mark.parametrize(("file", "architecture", "variant"), LADDERS[1::2])


def authors_network(file: str, architecture: str, variant: str) -> Network:
    model = network(architecture, variant)
    load_original_state_dict(model, reference(file))
    return model.eval()


def run_config(architecture: str, variant: str) -> RunConfig:
    return resolve({"data.path": "none.tif", "model.architecture": architecture, "model.variant": variant})


@ladders
def test_bottom_up_maps_and_prediction(file: str, architecture: str, variant: str) -> None:
    arrays = reference(file)
    model = authors_network(file, architecture, variant)
    latents = tensors(arrays, "latent") if architecture == "hvae" else None
    with torch.no_grad():
        maps = model.encode(torch.from_numpy(arrays["input"]))
        prediction = model.decode(maps, latents=latents)
    for ours, theirs in zip(maps, tensors(arrays, "bottom_up"), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(prediction.mean, torch.from_numpy(arrays["mean"]), atol=1e-5, rtol=0)
    assert prediction.log_variance is not None
    torch.testing.assert_close(prediction.log_variance, torch.from_numpy(arrays["logvar"]), atol=1e-5, rtol=0)


@ladders
def test_larger_input(file: str, architecture: str, variant: str) -> None:
    arrays = reference(file)
    model = authors_network(file, architecture, variant)
    latents = tensors(arrays, "latent_96") if architecture == "hvae" else None
    with torch.no_grad():
        prediction = model(torch.from_numpy(arrays["input_96"]), latents=latents, with_kl=False)
    torch.testing.assert_close(prediction.mean, torch.from_numpy(arrays["mean_96"]), atol=1e-5, rtol=0)


@stochastic_ladders
def test_posterior_and_kl_of_each_level(file: str, architecture: str, variant: str) -> None:
    arrays = reference(file)
    model = authors_network(file, architecture, variant)
    with torch.no_grad():
        prediction = model(torch.from_numpy(arrays["input"]), latents=tensors(arrays, "latent"))
    for level, latent in enumerate(prediction.latents):
        mean, log_variance = (torch.from_numpy(arrays[f"{name}/{level}"]) for name in ("q_mu", "q_logvar"))
        torch.testing.assert_close(latent.posterior.mean, mean, atol=1e-5, rtol=0)
        torch.testing.assert_close(latent.posterior.variance.log(), log_variance, atol=1e-5, rtol=0)
    torch.testing.assert_close(prediction.kl, tuple(tensors(arrays, "kl")), atol=1e-5, rtol=1e-5)


@ladders
def test_losses(file: str, architecture: str, variant: str) -> None:
    arrays = reference(file)
    model = authors_network(file, architecture, variant)
    latents = tensors(arrays, "latent") if architecture == "hvae" else None
    with torch.no_grad():
        prediction = model(torch.from_numpy(arrays["input"]), latents=latents)
        loss = compute_loss(prediction, torch.from_numpy(arrays["target"]), run_config(architecture, variant))
    kl_loss = float(arrays.get("kl_loss", np.float64(0)))
    assert float(loss.reconstruction.mean()) == pytest.approx(float(arrays["reconstruction_loss"]), rel=1e-5)
    assert float(loss.kl) == pytest.approx(kl_loss, rel=1e-5)
    assert float(loss.loss) == pytest.approx(float(arrays["reconstruction_loss"]) + kl_loss, rel=1e-5)


def test_unet_prediction() -> None:
    arrays = reference("unet")
    model = network("unet", "vanilla", filters=2)
    load_original_state_dict(model, arrays)
    with torch.no_grad():
        prediction = model.eval()(torch.from_numpy(arrays["input"]))
    torch.testing.assert_close(prediction.mean, torch.from_numpy(arrays["output"]), atol=1e-5, rtol=0)
    assert prediction.log_variance is None


def test_five_training_steps() -> None:
    arrays = reference("training_regular")
    model = network("hae", "regular")
    load_original_state_dict(model, arrays)
    optimiser = torch.optim.Adamax(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        prediction = model.train()(torch.from_numpy(arrays["input"]))
        loss = compute_loss(prediction, torch.from_numpy(arrays["target"]), run_config("hae", "regular")).loss
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(loss.item())
    assert losses == pytest.approx(arrays["losses"].tolist(), rel=1e-5)
