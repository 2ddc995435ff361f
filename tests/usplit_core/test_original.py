"""The authors' checkpoints: what is read of them, which network they hold, which statistics they need."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.usplit_core.models.networks import REFERENCE, reference
from usplit_core.config import DataConfig, ModelConfig
from usplit_core.errors import CheckpointError, DataError
from usplit_core.interop import load_original_state_dict
from usplit_core.models import build
from usplit_core.original import infer_settings, read_original, read_statistics
from usplit_core.settings import resolve

LADDER = {
    "model.lc_depth": 4,
    "model.patch_px": 64,
    "model.structure_channels": 2,
    "model.depth": 4,
    "model.filters": 4,
    "model.latent_channels": 4,
    "model.log_variance": "pixelwise",
}


def authors_tensors(file: str) -> dict[str, Tensor]:
    arrays = reference(file)
    prefix = "weight/"
    return {
        name.removeprefix(prefix): torch.from_numpy(value) for name, value in arrays.items() if name.startswith(prefix)
    }


def named_tensors(file: str) -> dict[str, Tensor]:
    shapes = json.loads((REFERENCE / f"original_names_{file}.json").read_text("utf-8"))
    return {name: torch.ones(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("hvae_vanilla", LADDER | {"model.variant": "vanilla", "model.lc_depth": 0}),
        ("hae_lean", LADDER | {"model.variant": "lean"}),
        ("hvae_regular", LADDER | {"model.variant": "regular"}),
    ],
)
def test_a_ladder_is_known_by_names_and_shapes(file: str, expected: dict[str, Any]) -> None:
    assert infer_settings(authors_tensors(file)) == expected | {"model.architecture": "hvae"}


def test_deep_has_more_levels_than_context() -> None:
    expected = LADDER | {"model.architecture": "hvae", "model.variant": "deep", "model.depth": 8}
    assert infer_settings(named_tensors("deep")) == expected


def test_a_top_prior_of_zeros_belongs_to_an_hae() -> None:
    tensors = authors_tensors("hae_vanilla")
    assert infer_settings(tensors)["model.architecture"] == "hvae"
    tensors["top_down_layers.3.top_prior_params"] = torch.zeros(1, 8, 4, 4)
    assert infer_settings(tensors)["model.architecture"] == "hae"
    assert infer_settings(tensors, {"model.architecture": "hvae"})["model.architecture"] == "hvae"


def test_levels_may_differ_in_latent_channels() -> None:
    tensors = authors_tensors("hvae_vanilla")
    tensors["top_down_layers.2.stochastic.conv_out.weight"] = torch.ones(4, 7, 3, 3)
    assert infer_settings(tensors)["model.latent_channels"] == (4, 4, 7, 4)


@pytest.mark.parametrize(
    ("side", "stated", "variant", "patch_px"),
    [
        (128, {}, "regular", 128),
        (8, {}, "lean", 128),
        (32, {}, "regular", 32),
        (32, {"model.variant": "lean"}, "lean", 512),
        (16, {"model.patch_px": 256}, "lean", 256),
        (16, {"model.patch_px": 16}, "regular", 16),
        (64, {"model.variant": "regular", "model.patch_px": 64}, "regular", 64),
    ],
)
def test_variant_and_patch_follow_from_the_top_prior(
    side: int, stated: dict[str, Any], variant: str, patch_px: int
) -> None:
    tensors = authors_tensors("hvae_regular") | {"top_down_layers.3.top_prior_params": torch.ones(1, 8, side, side)}
    settings = infer_settings(tensors, stated)
    assert (settings["model.variant"], settings["model.patch_px"]) == (variant, patch_px)


@pytest.mark.parametrize("stated", [{"model.variant": "vanilla"}, {"model.patch_px": 128}])
def test_a_statement_that_the_top_prior_excludes_is_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="64 px belongs to lean with 1024 px or regular with 64 px"):
        infer_settings(authors_tensors("hvae_regular"), stated)


def test_without_predicted_variance_there_is_one_output_a_channel() -> None:
    tensors = authors_tensors("hvae_vanilla") | {"likelihood.parameter_net.weight": torch.ones(2, 4, 3, 3)}
    settings = infer_settings(tensors)
    assert (settings["model.structure_channels"], settings["model.log_variance"]) == (2, "none")


@pytest.mark.parametrize(("file", "lc_depth", "variant"), [("unet_lc", 4, "deep")])
def test_a_unet_is_known_by_names_and_shapes(file: str, lc_depth: int, variant: str) -> None:
    settings = infer_settings(named_tensors(file))
    assert settings["model.architecture"] == "unet"
    assert (settings["model.variant"], settings["model.lc_depth"]) == (variant, lc_depth)
    assert (settings["model.depth"], settings["model.filters"]) == (5, 2)
    assert infer_settings(authors_tensors("unet"))["model.variant"] == "vanilla"


def test_a_bravenet_is_known_by_names_and_shapes() -> None:
    tensors = {f"bottom_up_layers.{level}.layers.0.0.weight": torch.ones(1) for level in range(4)}
    tensors |= {"input_bn.weight": torch.ones(1), "output_branch.0.weight": torch.ones(2, 32, 1, 1)}
    expected = {"model.architecture": "bravenet", "model.depth": 4, "model.filters": 32, "model.lc_depth": 0}
    assert expected.items() <= infer_settings(tensors).items()
    assert infer_settings(tensors | {"lowres_input_bn.weight": torch.ones(1)})["model.lc_depth"] == 1


@pytest.mark.parametrize("file", ["hvae_vanilla", "hae_lean", "hvae_regular", "unet"])
def test_the_tensors_fit_the_network_of_the_settings(file: str) -> None:
    tensors = authors_tensors(file)
    run = resolve({"data.path": "none.tif", **infer_settings(tensors)})
    load_original_state_dict(build(ModelConfig.model_validate(run.model)), tensors)


@pytest.mark.parametrize("missing", ["top_down_layers.3.top_prior_params", "likelihood.parameter_net.weight"])
def test_a_network_with_a_part_missing_is_refused(missing: str) -> None:
    tensors = authors_tensors("hvae_vanilla")
    del tensors[missing]
    with pytest.raises(CheckpointError, match=missing.replace(".", r"\.")):
        infer_settings(tensors)


def test_a_foreign_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="none of the authors' networks"):
        infer_settings({"layer.weight": torch.ones(1)})


@pytest.mark.parametrize(
    "content", [{"epoch": 35, "state_dict": {"model.a": torch.ones(2), "b": 3}}, {"a": torch.ones(2)}]
)
@pytest.mark.parametrize("as_zip", [True, False])
def test_weights_are_read_with_or_without_their_wrapping(tmp_path: Path, content: dict[str, Any], as_zip: bool) -> None:
    path = tmp_path / "weights.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    original = read_original(path)
    assert list(original.tensors) == ["a"]
    assert original.epoch == content.get("epoch", 0)


class _RunsCode:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, as_zip: bool) -> None:
    path = tmp_path / "evil.ckpt"
    content = {"state_dict": {"a": torch.ones(1)}, "hyper_parameters": _RunsCode(tmp_path / "harm")}
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(CheckpointError, match="running code from it" + (r" \(posix.mkdir\)" if as_zip else "")):
        read_original(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"hello" * 20, b"\x80\x04N.", b"PK\x03\x04" + bytes(40)])
def test_a_file_that_is_no_checkpoint_is_one_message(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"foreign\.ckpt (is damaged|holds no state_dict)"):
        read_original(path)


def test_a_damaged_checkpoint_and_other_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.ckpt"
    torch.save({"a": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="is damaged"):
        read_original(path)
    with zipfile.ZipFile(tmp_path / "other.ckpt", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(CheckpointError, match="is damaged, or no PyTorch checkpoint"):
        read_original(tmp_path / "other.ckpt")


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file"):
        read_original(tmp_path / "nowhere.ckpt")
    with pytest.raises(CheckpointError, match="there is no such file"):
        read_original(tmp_path)


GIVEN = {"clip": 900, "input_mean": 200.5, "input_std": 100, "target_mean": [250, 150], "target_std": [110.0, 90.0]}
DATA = DataConfig(path="none.tif", mixing_weights=(1.0, 3.0))


def written(folder: Path, values: Any) -> Path:
    path = folder / "statistics.json"
    path.write_text(json.dumps(values), "utf-8")
    return path


def test_statistics_take_what_is_not_given_from_the_settings(tmp_path: Path) -> None:
    statistics = read_statistics(written(tmp_path, GIVEN), DATA)
    assert statistics.clip == (900, 900)
    assert statistics.weights == (0.25, 0.75)
    assert statistics.background_quantile == 0
    assert (statistics.input_mean, statistics.target_std) == (200.5, (110.0, 90.0))
    own = read_statistics(written(tmp_path, GIVEN | {"clip": [None, 5], "weights": [1, 1]}), DATA)
    assert (own.clip, own.weights) == ((float("inf"), 5), (1, 1))
    assert read_statistics(written(tmp_path, GIVEN | {"clip": None}), DATA).clip == (float("inf"),) * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clip": 3}, "lacks input_mean, input_std, target_mean, target_std: give an object with clip"),
        ([1], "holds no JSON object"),
        (GIVEN | {"input_sd": 1}, "no number 'input_sd'; did you mean 'input_std'"),
        (GIVEN | {"target_mean": [1]}, r"target_mean = \[1\] must hold 2 numbers"),
        (GIVEN | {"target_mean": 1}, "target_mean = 1 must hold 2 numbers"),
        (GIVEN | {"input_std": 0}, "input_std = 0 must be above 0"),
        (GIVEN | {"input_mean": "1"}, "input_mean = 1 must be a number"),
        (GIVEN | {"target_std": [1, True]}, "must be numbers"),
        (GIVEN | {"input_mean": float("nan")}, "input_mean = nan must be a number"),
        (GIVEN | {"weights": [1, -1]}, r"weights = \[1, -1\] must not be below 0"),
        (GIVEN | {"weights": [0, 0]}, r"weights = \[0, 0\] must not all be 0"),
        (GIVEN | {"background_quantile": 7}, "background_quantile = 7 must be at least 0 and below 1"),
    ],
)
def test_wrong_statistics_are_refused(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_statistics(written(tmp_path, values), DATA)


def test_statistics_that_are_no_json_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "statistics.json"
    with pytest.raises(DataError, match="no JSON file"):
        read_statistics(path, DATA)
    path.write_text("{", "utf-8")
    with pytest.raises(DataError, match="no JSON file"):
        read_statistics(path, DATA)
