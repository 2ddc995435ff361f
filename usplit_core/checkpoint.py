"""Model files and training files: one safetensors file each, written whole or not at all.

Loading runs no code from the file: it holds numbers and JSON text, nothing else.

The format, version 1. A safetensors file is a JSON header followed by the bytes of the tensors;
the header's ``__metadata__`` holds three texts:

``usplit.format``
    Version of this description, a whole number. A reader refuses a higher one.
``usplit.kind``
    ``model``: enough to predict with; ``training``: enough to continue a training.
``usplit.record``
    JSON. Of a model the fields of `SavedModel`: the settings of the run, the statistics that bring
    images to network units and back, how the frames were split, metrics and epoch of the weights.
    Of a training ``run``, ``optimiser`` (the parameter groups), ``progress`` and ``version``.

The tensors of a model carry the names of the network's state dict. A training file holds them under
``model/NAME`` and the optimiser's under ``optimiser/INDEX/NAME``, INDEX counting its parameters.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from usplit_core import __version__
from usplit_core.config import RunConfig
from usplit_core.data.mixing import Statistics, statistics_from_json, statistics_to_json
from usplit_core.errors import CheckpointError, OutputError
from usplit_core.models import Network, build
from usplit_core.optimiser import HasState
from usplit_core.settings import validate
from usplit_core.whole_files import write_whole

FORMAT = 1


class SavedModel(NamedTuple):
    """What a model file knows beside the weights."""

    run: RunConfig
    statistics: Statistics
    split: dict[str, Any]
    metrics: dict[str, float]
    epoch: int
    version: str
    channel_names: tuple[str, ...]


def save_model(path: Path, module: nn.Module, saved: SavedModel) -> None:
    """Write weights and record of a trained network to `path`.

    Raises
    ------
    OutputError
        If the file cannot be written; a file that was there before is then still whole.
    """
    record = saved._asdict() | {
        "run": saved.run.model_dump(mode="json"),
        "statistics": statistics_to_json(saved.statistics),
    }
    _write(path, module.state_dict(), kind="model", record=record)


def load_model(path: Path, device: torch.device | str = "cpu") -> tuple[Network, SavedModel]:
    """Read a model file.

    Returns
    -------
    The network, in evaluation mode on `device`, and the record of its training.

    Raises
    ------
    CheckpointError
        If the file is missing, foreign, damaged, newer than this version, or its weights do not fit.
    """
    record, tensors = _read(path, kind="model")
    saved = _saved_model(path, record)
    # Weights are drawn only to be overwritten: the caller's random numbers must not notice.
    with torch.random.fork_rng(devices=[]):
        module = build(saved.run.model)
    _load_weights(path, module, tensors)
    return module.to(device).eval(), saved


def read_model(path: Path) -> SavedModel:
    """Return the record of a model file, without reading its weights.

    Raises
    ------
    CheckpointError
        If the file is missing, foreign, damaged or newer than this version.
    """
    record, _ = _read(path, kind="model", with_tensors=False)
    return _saved_model(path, record)


def _saved_model(path: Path, record: Mapping[str, Any]) -> SavedModel:
    try:
        saved = SavedModel(**record)
        return saved._replace(
            run=validate(record["run"]),
            statistics=statistics_from_json(record["statistics"]),
            channel_names=tuple(saved.channel_names),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(_unusable_record(path, record, error)) from error


def save_training(
    path: Path, module: nn.Module, optimiser: HasState, *, run: RunConfig, progress: Mapping[str, Any]
) -> None:
    """Write all that `load_training` needs to continue exactly; `progress` must be JSON-able.

    Raises
    ------
    OutputError
        If the file cannot be written; a file that was there before is then still whole.
    """
    state = optimiser.state_dict()
    tensors = {f"model/{name}": tensor for name, tensor in module.state_dict().items()}
    for index, values in state["state"].items():
        tensors.update({f"optimiser/{index}/{name}": tensor for name, tensor in values.items()})
    record = {
        "run": run.model_dump(mode="json"),
        "optimiser": state["param_groups"],
        "progress": progress,
        "version": __version__,
    }
    _write(path, tensors, kind="training", record=record)


def load_training(path: Path, module: nn.Module, optimiser: HasState) -> None:
    """Put weights and optimiser state of a training file into `module` and `optimiser`.

    Raises
    ------
    CheckpointError
        If the file cannot be read or does not fit.
    """
    record, tensors = _read(path, kind="training")
    _load_weights(path, module, _below("model/", tensors))
    parameters = list(module.parameters())
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in _below("optimiser/", tensors).items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = _laid_out_like(parameters[int(index)], tensor)
        optimiser.load_state_dict({"state": state, "param_groups": record["optimiser"]})
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointError(_unusable_record(path, record, error)) from error


def hand_on_training(
    source: Path, target: Path, *, run: RunConfig, progress: Mapping[str, Any], rate_factor: float
) -> None:
    """Write `target`, from which `run` begins with weights and optimiser of `source`, its learning rate scaled.

    Raises
    ------
    CheckpointError
        If `source` cannot be read.
    OutputError
        If `target` cannot be written.
    """
    record, tensors = _read(source, kind="training")
    groups = [{**group, "lr": group["lr"] * rate_factor} for group in record["optimiser"]]
    ours = {"run": run.model_dump(mode="json"), "optimiser": groups, "progress": progress, "version": __version__}
    _write(target, tensors, kind="training", record=ours)


def read_progress(path: Path) -> tuple[RunConfig, dict[str, Any]]:
    """Return the run and the progress that a training file holds, without reading its tensors.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    """
    record, _ = _read(path, kind="training", with_tensors=False)
    try:
        return validate(record["run"]), dict(record["progress"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(_unusable_record(path, record, error)) from error


def _write(path: Path, tensors: Mapping[str, Tensor], *, kind: str, record: Mapping[str, Any]) -> None:
    metadata = {
        "usplit.format": str(FORMAT),
        "usplit.kind": kind,
        "usplit.record": json.dumps(record, allow_nan=False),
    }
    content = serialise({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}): check that the folder exists, may be written to and has "
            f"{len(content) / 2**20:.0f} MiB of free space"
        ) from error


def _read(path: Path, *, kind: str, with_tensors: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: there is no such file; name a {kind} file that a training wrote")
        with safe_open(path, framework="pt") as file:
            record = _checked_record(path, file.metadata() or {}, kind)
            names = file.keys() if with_tensors else ()
            return record, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or a damaged one ({error}): name a {kind} file that a training wrote"
        ) from error


def _checked_record(path: Path, metadata: Mapping[str, str], kind: str) -> dict[str, Any]:
    version, found = metadata.get("usplit.format", ""), metadata.get("usplit.kind")
    if not version.isdecimal() or found is None:
        raise CheckpointError(
            f"{path} is a safetensors file without the header of this package: name a {kind} file that a training wrote"
        )
    if int(version) > FORMAT:
        raise CheckpointError(
            f"{path} has file format {version}, and usplit {__version__} reads up to {FORMAT}: update usplit"
        )
    if found != kind:
        raise CheckpointError(f"{path} is a {found} file where a {kind} file is needed: name a {kind} file")
    try:
        record = json.loads(metadata.get("usplit.record", ""))
    except json.JSONDecodeError as error:
        raise CheckpointError(_unusable_record(path, {}, error)) from error
    if not isinstance(record, dict):
        raise CheckpointError(_unusable_record(path, {}, TypeError("it is no JSON object")))
    return record


def _unusable_record(path: Path, record: Mapping[str, Any], error: Exception) -> str:
    return (
        f"the header of {path}, written by usplit {record.get('version', 'of unknown version')}, cannot be used by "
        f"usplit {__version__}: {error!r}; take the version that wrote it, or train again"
    )


def _load_weights(path: Path, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    expected = module.state_dict()
    misfits = [f"{name} is missing" for name in expected if name not in tensors]
    misfits += [f"{name} is no part of it" for name in tensors if name not in expected]
    misfits += [
        f"{name} has shape {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
        for name, tensor in tensors.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if misfits:
        raise CheckpointError(
            f"{path}: {len(misfits)} weights do not fit the network that its header describes, such as: {misfits[0]}; "
            "take the version of usplit that wrote it, or train again"
        )
    module.load_state_dict(tensors)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor` in the memory format of `parameter`, so that both are stepped through in one pass."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
