"""Optimiser and schedule are torch's, number by number; torch's compiler stays out of the process."""

import subprocess
import sys

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from usplit_core.optimiser import Adamax, Plateau

SHAPES = ((3, 2), (5,), (1,))


def weights() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def give_gradients(*parameters: list[nn.Parameter], seed: int) -> None:
    """Give all lists the same gradients; every other time the last parameter has none."""
    generator = torch.Generator().manual_seed(seed)
    drawn: list[Tensor | None] = [torch.randn(shape, generator=generator) for shape in SHAPES]
    if seed % 2:
        drawn[-1] = None
    for own in parameters:
        for weight, gradient in zip(own, drawn, strict=True):
            weight.grad = gradient


def test_steps_are_those_of_torch_bit_by_bit() -> None:
    ours, theirs = weights(), weights()
    own, torchs = Adamax(ours, 0.02), torch.optim.Adamax(theirs, lr=0.02)
    for step in range(7):
        give_gradients(ours, theirs, seed=step)
        own.step()
        torchs.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_state_of_torch_goes_on_here() -> None:
    theirs = weights()
    torchs = torch.optim.Adamax(theirs, lr=0.02)
    give_gradients(theirs, seed=0)
    torchs.step()
    ours = [nn.Parameter(weight.detach().clone()) for weight in theirs]
    own = Adamax(ours, 1.0)
    own.load_state_dict(torchs.state_dict())
    give_gradients(ours, theirs, seed=2)
    own.step()
    torchs.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_rate_falls_where_torchs_does() -> None:
    values = torch.randn(200, generator=torch.Generator().manual_seed(0)).cumsum(0).tolist()
    own, torchs = Adamax(weights(), 0.1), torch.optim.Adamax(weights(), lr=0.1)
    schedule = Plateau(own, factor=0.5, patience=3, smallest_rate=1e-4)
    torch_schedule = ReduceLROnPlateau(torchs, mode="max", factor=0.5, patience=3, min_lr=1e-4)
    rates = []
    for value in [-1.0, -1.00001, -0.99999, *values]:
        schedule.step(value)
        torch_schedule.step(value)
        assert own.learning_rate == torchs.param_groups[0]["lr"]
        assert (schedule.best, schedule.waited) == (torch_schedule.best, torch_schedule.num_bad_epochs)
        rates.append(own.learning_rate)
    assert len(set(rates)) > 3


STEP = """
import sys, torch
from usplit_core.data.sampling import Batch
from usplit_core.learner import build_learner, take_step
from usplit_core.settings import resolve

run = resolve({"data.path": "none.tif", "model.filters": 4, "model.patch_px": 16, "model.depth": 2,
               "model.lc_depth": 0, "model.latent_channels": 4, "tiling.padding_px": 4})
learner = build_learner(run, torch.device("cpu"))
assert take_step(learner, Batch(torch.zeros(2, 1, 16, 16), torch.zeros(2, 2, 16, 16)), run, epoch=0) is not None
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


def test_a_training_step_does_not_load_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
