import os
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.usplit_core.trainings import tiny_run
from usplit_core.cost import cost_key, estimate, measure_cost, reset_peak_memory, training_bytes
from usplit_core.models import build
from usplit_core.objective import compute_loss
from usplit_core.settings import resolve


@pytest.mark.parametrize(
    ("variant", "parameters", "gflop_a_step"),
    [("vanilla", 2_991_748, 98), ("lean", 3_657_604, 244), ("regular", 4_702_084, 623)],
)
def test_the_networks_of_the_paper_cost_what_is_known_of_them(variant: str, parameters: int, gflop_a_step: int) -> None:
    cost = estimate(resolve({"data.path": "none.tif", "model.variant": variant, "train.batch_size": 8}))
    assert cost.parameters == parameters
    # The authors' networks compute some of what they crop away; these may leave a little of it out.
    assert 0.9 * gflop_a_step < cost.step_flops / 1e9 < 1.01 * gflop_a_step
    assert cost.state_bytes == 16 * parameters


@pytest.mark.parametrize("architecture", ["hvae", "hae", "unet"])
def test_the_activations_are_those_that_a_real_step_keeps(architecture: str) -> None:
    run = tiny_run(model__architecture=architecture)
    network = build(run.model)
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        prediction = network(torch.randn(2, run.model.context_levels, 16, 16))
        compute_loss(prediction, torch.randn_like(prediction.mean), run)
    sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept}
    real = sum(size for place, size in sizes.items() if place not in weights)
    assert estimate(run).activation_bytes_per_step == pytest.approx(real, rel=0.05)


def test_activations_and_flops_grow_with_the_batch() -> None:
    one, four = estimate(tiny_run(train__batch_size=1)), estimate(tiny_run(train__batch_size=4))
    assert four.activation_bytes_per_step == 4 * one.activation_bytes_per_step
    assert four.step_flops == 4 * one.step_flops
    assert four.forward_flops_per_patch == one.forward_flops_per_patch


def test_an_estimate_leaves_the_random_numbers_of_the_caller_alone() -> None:
    before = torch.random.get_rng_state()
    estimate(tiny_run())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_network_of_many_gigabytes_is_estimated_without_them() -> None:
    reset_peak_memory(torch.device("cpu"))
    network = build(tiny_run().model)
    before = measure_cost(network, torch.device("cpu"), 0)["cost/peak_host_bytes"]
    run = resolve({"data.path": "none.tif", "model.variant": "vanilla", "model.filters": 1024, "model.patch_px": 512})
    assert estimate(run).activation_bytes_per_step > 2**35
    assert measure_cost(network, torch.device("cpu"), 0)["cost/peak_host_bytes"] - before < 2**29


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="this system keeps the first peak")
def test_the_peak_of_host_memory_sees_what_was_held_and_can_be_forgotten() -> None:
    device, network = torch.device("cpu"), build(tiny_run().model)
    reset_peak_memory(device)
    before = measure_cost(network, device, 0)["cost/peak_host_bytes"]
    held = torch.ones(2**27, dtype=torch.uint8)
    del held
    after = measure_cost(network, device, 2.5)
    assert after["cost/peak_host_bytes"] - before > 2**26
    assert after["cost/train_seconds"] == 2.5
    assert after["cost/parameters"] == sum(weight.numel() for weight in network.parameters())
    assert "cost/peak_device_bytes" not in after


def test_the_memory_of_a_training_grows_with_what_takes_memory() -> None:
    small = training_bytes(tiny_run())
    larger = [{"train__batch_size": 4}, {"model__filters": 8}, {"model__patch_px": 32}]
    assert all(training_bytes(tiny_run(**settings)) > small for settings in larger)
    assert training_bytes(tiny_run(train__precision="bfloat16")) < small
    cost = estimate(tiny_run())
    assert small > cost.state_bytes + cost.activation_bytes_per_step


def test_settings_that_change_numbers_only_cost_the_same() -> None:
    same: list[dict[str, Any]] = [
        {"train__learning_rate": 1e-4},
        {"objective__kl_weight": 2.0},
        {"train__seed": 5},
        {"model__dropout": 0.3},
    ]
    other: list[dict[str, Any]] = [{"train__batch_size": 4}, {"model__filters": 8}, {"train__precision": "bfloat16"}]
    assert {cost_key(tiny_run(**settings)) for settings in same} == {cost_key(tiny_run())}
    assert len({cost_key(tiny_run(**settings)) for settings in [{}, *other]}) == 4
