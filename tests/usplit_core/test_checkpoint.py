import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.usplit_core.trainings import tiny_parts, tiny_run
from usplit_core import __version__
from usplit_core.checkpoint import (
    SavedModel,
    load_model,
    load_training,
    read_progress,
    save_model,
    save_training,
)
from usplit_core.errors import CheckpointError, OutputError
from usplit_core.models import Network, build
from usplit_core.whole_files import remove_unfinished_writes

RUN = tiny_run()


def trained_network(seed: int = 0) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(RUN.model)
        network.train()(torch.randn(2, RUN.model.context_levels, 16, 16))
    return network


def saved_model() -> SavedModel:
    parts, statistics = tiny_parts(RUN)
    return SavedModel(
        RUN, statistics, parts.record, {"validation/psnr_db": 30.5}, 7, __version__, ("vertical", "horizontal")
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, trained_network(), saved_model())
    return path


def change(path: Path, metadata: Mapping[str, str | None], tensors: dict[str, Any] | None = None) -> None:
    """Write the file again with other tensors, and other texts in its header; None takes a text out."""
    with safe_open(path, framework="pt") as file:
        texts = file.metadata()
    texts |= {f"usplit.{name}": text for name, text in metadata.items() if text is not None}
    for name in [name for name, text in metadata.items() if text is None]:
        del texts[f"usplit.{name}"]
    save_file(load_file(path) if tensors is None else tensors, path, texts)


def test_a_model_comes_back_with_its_record_and_predicts_the_same(path: Path) -> None:
    network = trained_network().eval()
    loaded, saved = load_model(path)
    assert saved == saved_model()
    assert not loaded.training
    image = torch.randn(1, RUN.model.context_levels, 16, 16)
    with torch.random.fork_rng():
        expected = network(image)
    torch.testing.assert_close(loaded(image).mean, expected.mean, rtol=0, atol=0)


def test_an_infinite_clip_value_comes_back(tmp_path: Path) -> None:
    saved = saved_model()
    saved = saved._replace(statistics=saved.statistics._replace(clip=(float("inf"), 5.0)))
    save_model(tmp_path / "a", trained_network(), saved)
    assert load_model(tmp_path / "a")[1] == saved


def test_weights_in_another_memory_order_are_saved(path: Path) -> None:
    network = torch.nn.utils.convert_conv2d_weight_memory_format(trained_network(), torch.channels_last)
    save_model(path, network, saved_model())
    for name, tensor in load_model(path)[0].state_dict().items():
        torch.testing.assert_close(tensor, network.state_dict()[name], rtol=0, atol=0)


def test_loading_leaves_the_random_numbers_of_the_caller_alone(path: Path) -> None:
    before = torch.random.get_rng_state()
    load_model(path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: there is no such file"):
        load_model(tmp_path / "gone.safetensors")


def test_a_pickle_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    (tmp_path / "model.ckpt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="is no safetensors file, or a damaged one"):
        load_model(tmp_path / "model.ckpt")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("size", [0, 4, 100, 5000])
def test_a_truncated_file_is_refused(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="is no safetensors file, or a damaged one"):
        load_model(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="without the header of this package"):
        load_model(tmp_path / "foreign.safetensors")


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    change(path, {"format": "2"})
    with pytest.raises(CheckpointError, match=r"has file format 2, and usplit .* reads up to 1: update usplit"):
        load_model(path)


@pytest.mark.parametrize("header", [{"format": None}, {"format": "new"}, {"kind": None}])
def test_a_file_without_our_header_is_refused(path: Path, header: dict[str, str | None]) -> None:
    change(path, header)
    with pytest.raises(CheckpointError, match="without the header of this package"):
        load_model(path)


@pytest.mark.parametrize("record", [None, "{", "[]", "{}", '{"run": 1}'])
def test_a_file_with_an_unusable_record_is_refused(path: Path, record: str | None) -> None:
    change(path, {"record": record})
    with pytest.raises(CheckpointError, match="cannot be used by usplit"):
        load_model(path)


def test_a_file_with_an_unknown_setting_is_refused(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["usplit.record"])
    record["run"]["model"]["colour"] = "blue"
    change(path, {"record": json.dumps(record)})
    with pytest.raises(CheckpointError, match=r"written by usplit .*model\.colour"):
        load_model(path)


def test_weights_that_do_not_fit_are_refused(path: Path) -> None:
    tensors = load_file(path)
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    tensors["extra"] = torch.zeros(1)
    tensors[name] = tensors[name][1:].clone()
    change(path, {}, tensors)
    with pytest.raises(CheckpointError, match=r"2 weights do not fit .*extra is no part of it"):
        load_model(path)
    del tensors["extra"], tensors[name]
    change(path, {}, tensors)
    with pytest.raises(CheckpointError, match=f"1 weights do not fit .*{name} is missing"):
        load_model(path)


def test_a_training_file_is_no_model_file(tmp_path: Path) -> None:
    network = trained_network()
    save_training(tmp_path / "a", network, torch.optim.Adamax(network.parameters()), run=RUN, progress={})
    with pytest.raises(CheckpointError, match="is a training file where a model file is needed"):
        load_model(tmp_path / "a")


def test_a_training_comes_back(tmp_path: Path) -> None:
    network = trained_network()
    optimiser = torch.optim.Adamax(network.parameters(), lr=0.25)
    for weight in network.parameters():
        weight.grad = torch.ones_like(weight)
    optimiser.step()
    save_training(tmp_path / "a", network, optimiser, run=RUN, progress={"epoch": 3})

    other = trained_network(seed=1)
    other_optimiser = torch.optim.Adamax(other.parameters())
    load_training(tmp_path / "a", other, other_optimiser)
    assert read_progress(tmp_path / "a") == (RUN, {"epoch": 3})
    torch.testing.assert_close(dict(other.state_dict()), dict(network.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(other_optimiser.state_dict()["state"], optimiser.state_dict()["state"], rtol=0, atol=0)
    assert other_optimiser.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_killed_write_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def killed(descriptor: int) -> None:
        raise error("no space left")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises((error, OutputError)):
        save_model(path, trained_network(seed=1), saved_model())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(path: Path) -> None:
    (path.parent / f".{path.name}.0123.unfinished").write_bytes(b"half")
    remove_unfinished_writes(path.parent)
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gone/model\.safetensors cannot be written .*No such file"):
        save_model(tmp_path / "gone" / "model.safetensors", trained_network(), saved_model())
