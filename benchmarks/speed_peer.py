"""The peer's side of a speed measurement: CAREamics' ladder VAE; see `benchmarks.speed_subject`.

Runs where `careamics` can be found, which need not have its dependencies: only the modules of the network, its loss and
its data loader are imported, and of torchvision the one function that they call.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed_subject import (
    BATCH_SIZE,
    BATCHES,
    DTYPES,
    FRAME_PX,
    FRAMES,
    PATCH_PX,
    TILES,
    VARIANTS,
    Case,
    Work,
    serve,
    training_pair,
)
from usplit_core.models.layers import centre_crop

#: Packages whose own file imports libraries that are not there: their modules are found without running it.
SHELLS = ("", "models", "config", "config.noise_model", "losses", "losses.lvae", "lvae_training", "lightning",
          "lightning.prediction", "lightning.prediction.lvae")  # fmt: skip


def prepare(case: Case) -> Work:
    """Return the work of a case."""
    open_package()
    return {"step": training_step, "batch": batches, "tiles": tiles}[case.task](case)


def open_package() -> None:
    """Make the modules of careamics importable one by one."""
    crop = ModuleType("torchvision.transforms.functional")
    crop.center_crop = _centre_crop  # type: ignore[attr-defined]  # a module made here
    transforms = ModuleType("torchvision.transforms")
    transforms.functional = crop  # type: ignore[attr-defined]  # likewise
    sys.modules |= {"torchvision": ModuleType("torchvision"), transforms.__name__: transforms, crop.__name__: crop}
    found = find_spec("careamics")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("careamics is not on the path of this process")
    for name in SHELLS:
        shell = ModuleType(f"careamics.{name}".rstrip("."))
        shell.__path__ = [str(Path(found.origin).parent.joinpath(*name.split(".")))]
        sys.modules[shell.__name__] = shell


def _centre_crop(image: Tensor, size: int | tuple[int, int]) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    return centre_crop(image, height, width)


def network(case: Case) -> Any:
    """Return the peer's network of a variant."""
    context, depth = VARIANTS[case.variant]
    torch.manual_seed(0)
    return _module("models.lvae.lvae").LadderVAE(
        input_shape=(PATCH_PX, PATCH_PX), output_channels=2, multiscale_count=1 + context, z_dims=[128] * depth,
        encoder_n_filters=64, decoder_n_filters=64, encoder_conv_strides=[2, 2], decoder_conv_strides=[2, 2],
        encoder_dropout=0.1, decoder_dropout=0.1, nonlinearity="ELU", predict_logvar="pixelwise", analytical_kl=False,
    ).to(case.device)  # fmt: skip


def training_step(case: Case) -> Work:
    """Forward, backward and optimiser, with the loss of µSplit."""
    model, likelihood, losses = network(case), _likelihood(), _module("losses.lvae.lvae_losses")
    optimiser = torch.optim.Adamax(model.parameters(), lr=1e-3)
    image, target = training_pair(case.variant, case.device)

    def step() -> None:
        optimiser.zero_grad()
        with _autocast(case):
            output, latents = model(image)
            kl = losses.get_kl_divergence_loss("kl", latents, "latent_dim", "mean", 0.0, (PATCH_PX, PATCH_PX))
            loss = losses.get_reconstruction_loss(output, target, likelihood) + kl
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimiser.step()

    step()
    return Work(step, BATCH_SIZE)


def batches(case: Case) -> Work:
    """Random training items of its loader for lateral context, the fastest that it has, put into batches."""
    types = _module("lvae_training.dataset.types")
    pixels = np.random.default_rng(0).integers(0, 4000, (FRAMES, FRAME_PX, FRAME_PX, 2), np.uint16)
    config = _module("lvae_training.dataset.config").MicroSplitDataConfig(
        data_type=next(iter(types.DataType)), datasplit_type=types.DataSplitType.Train, image_size=(PATCH_PX, PATCH_PX),
        grid_size=PATCH_PX, multiscale_lowres_count=1 + VARIANTS[case.variant][0],
        start_alpha=[0.5] * 2, end_alpha=[0.5] * 2,
    )  # fmt: skip
    dataset = _module("lvae_training.dataset.lc_dataset").LCMultiChDloader
    loader = dataset(config, "none", load_data_fn=_constant(pixels.astype(np.float32)))
    loader.set_mean_std(*loader.compute_mean_std())

    def draw() -> None:
        for batch in range(BATCHES):
            first = batch * BATCH_SIZE
            items = [loader[(first + index) % len(loader)] for index in range(BATCH_SIZE)]
            for arrays in torch.utils.data.default_collate(items):
                arrays.to(case.device)

    draw()
    return Work(draw, BATCHES * BATCH_SIZE)


def _constant(pixels: Any) -> Callable[..., Any]:
    return lambda *_, **__: pixels


def tiles(case: Case) -> Work:
    """Predict tiles that are gathered already; neither cropped nor stitched."""
    model, likelihood = network(case), _likelihood()
    predict_sample = _module("lightning.prediction.lvae.lvae_prediction").lvae_predict_single_sample
    model.reset_for_inference((PATCH_PX, PATCH_PX))
    image = torch.cat([training_pair(case.variant, case.device)[0]] * (TILES // BATCH_SIZE))

    def predict() -> None:
        with _autocast(case):
            for batch in torch.split(image, BATCH_SIZE):
                predict_sample(model, likelihood, batch)

    predict()
    return Work(predict, TILES)


def _module(name: str) -> Any:
    return import_module(f"careamics.{name}")


def _likelihood() -> Any:
    return _module("models.lvae.likelihoods").GaussianLikelihood("pixelwise", -5.0)


def _autocast(case: Case) -> Any:
    dtype = DTYPES[case.precision]
    return torch.autocast(torch.device(case.device).type, dtype, enabled=dtype is not torch.float32)


if __name__ == "__main__":
    sys.exit(serve(prepare))
