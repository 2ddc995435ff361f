import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.usplit_core.trainings import tiny_run
from usplit_core import learner
from usplit_core.data.sampling import Batch
from usplit_core.errors import UserError
from usplit_core.interop import load_original_state_dict
from usplit_core.learner import build_learner, check_device, take_step

CPU = torch.device("cpu")
REFERENCE = Path(__file__).resolve().parents[1] / "reference"


def test_initial_weights_come_from_the_seed_and_patches_from_the_seed_of_the_data() -> None:
    def first_weights(**settings: Any) -> Tensor:
        with torch.random.fork_rng():
            return torch.cat([weight.detach().flatten() for weight in built(**settings).module.parameters()])

    def built(**settings: Any) -> learner.Learner:
        return build_learner(tiny_run(**settings), CPU)

    assert torch.equal(first_weights(), first_weights(train__data_seed=1))
    assert not torch.equal(first_weights(), first_weights(train__seed=1, train__data_seed=0))
    assert tiny_run(train__seed=1, train__data_seed=0).train.data_order_seed == tiny_run().train.data_order_seed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"model__lc_depth": 0}, {"model__lc_depth": 1}),
        ({"model__depth": 1, "model__lc_depth": 0}, {"model__depth": 2, "model__lc_depth": 0}),
    ],
)
def test_networks_of_one_seed_share_the_weights_of_the_layers_that_they_share(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    with torch.random.fork_rng():
        first, second = (build_learner(tiny_run(**values), CPU).module.state_dict() for values in (one, other))
    shared = [name for name, value in first.items() if name in second and second[name].shape == value.shape]
    drawn = [name for name in shared if name.endswith("weight") and first[name].ndim == 4]
    assert len(drawn) >= 5
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_layers_of_one_network_have_weights_of_their_own() -> None:
    with torch.random.fork_rng():
        state = build_learner(tiny_run(model__depth=2), CPU).module.state_dict()
    kernels = [value for name, value in state.items() if name.endswith("weight") and value.ndim == 4]
    assert len({tuple(value.flatten()[:4].tolist()) for value in kernels}) == len(kernels)


def test_five_steps_equal_those_of_the_authors_implementation() -> None:
    with np.load(REFERENCE / "training_regular.npz") as arrays:
        run = tiny_run(
            model__architecture="hae", model__patch_px=64, model__lc_depth=4, model__depth=4, model__latent_channels=4,
            model__dropout=0.0, train__gradient_clip=None,
        )  # fmt: skip
        with torch.random.fork_rng():
            learned = build_learner(run, CPU)
        load_original_state_dict(learned.module, arrays)
        batch = Batch(torch.from_numpy(arrays["input"]), torch.from_numpy(arrays["target"]))
        steps = [take_step(learned, batch, run, epoch=0) for _ in range(5)]
        assert [step["train/loss"] for step in steps if step] == pytest.approx(arrays["losses"].tolist(), rel=1e-5)


@pytest.mark.parametrize(("by", "clip"), [("norm", 1e-3), ("value", 1e-4)])
def test_gradients_are_clipped_and_the_norm_is_that_before(by: str, clip: float) -> None:
    run = tiny_run(train__gradient_clip=clip, train__gradient_clip_by=by)
    with torch.random.fork_rng():
        learned = build_learner(run, CPU)
        metrics = take_step(learned, Batch(torch.randn(2, 2, 16, 16), torch.randn(2, 2, 16, 16)), run, epoch=0)
    assert metrics is not None
    assert metrics["train/gradient_norm"] > 0.01
    gradients = torch.cat([weight.grad.flatten() for weight in learned.module.parameters() if weight.grad is not None])
    largest = gradients.norm() if by == "norm" else gradients.abs().max()
    assert largest.item() == pytest.approx(clip, rel=1e-3)


def test_a_skipped_step_changes_neither_weights_nor_batch_statistics() -> None:
    run = tiny_run()
    with torch.random.fork_rng():
        learned = build_learner(run, CPU)
        before = {name: tensor.clone() for name, tensor in learned.module.state_dict().items()}
        image = torch.randn(2, run.model.context_levels, 16, 16)
        image[0, 0, 3, 3] = math.inf
        assert take_step(learned, Batch(image, torch.randn(2, 2, 16, 16)), run, epoch=0) is None
    torch.testing.assert_close(dict(learned.module.state_dict()), before, rtol=0, atol=0)


def test_a_device_that_cannot_do_what_is_asked_is_refused() -> None:
    with pytest.raises(UserError, match=r"float16.*is for GPUs.*bfloat16 or float32"):
        check_device("cpu", tiny_run(train__precision="float16").train)
    assert check_device("cpu", tiny_run(train__precision="bfloat16").train) == CPU


@pytest.mark.parametrize(("device", "problem"), [("gpu", "no device of torch"), ("meta", "on 'cpu' and 'cuda'")])
def test_a_device_that_is_none_is_refused(device: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        check_device(device, tiny_run().train)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="torch sees 0 GPUs on this machine; use the device 'cpu'"):
        check_device("cuda", tiny_run().train)
