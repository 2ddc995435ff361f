"""The noise models of a study: known by their content, and kept where every worker finds them."""

import hashlib
from pathlib import Path

from usplit_core.config import RunConfig
from usplit_core.errors import CheckpointError, OutputError
from usplit_core.whole_files import write_whole


def content_of_noise_model(path: str) -> str:
    """Return 32 hexadecimal digits that change with any byte of the file, wherever it lies.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    return _hash(_read(path))


def keep_noise_model(run: RunConfig, folder: Path) -> RunConfig:
    """Return the run with its noise model, where it has one, in `folder`, which every node reaches.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    OutputError
        If it cannot be kept.
    """
    path = run.objective.noise_model_path
    if path is None:
        return run
    content = _read(path)
    kept = folder / f"{_hash(content)}.safetensors"
    if not kept.exists():
        _write(kept, content)
    objective = run.objective.model_copy(update={"noise_model_path": str(kept)})
    return run.model_copy(update={"objective": objective})


def _read(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"objective.noise_model_path = {path!r} cannot be read ({error.strerror}): "
            "correct the path, or fit a noise model with `usplit noise-model`"
        ) from None


def _write(kept: Path, content: bytes) -> None:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, content)
    except OSError as error:
        raise OutputError(f"cannot keep the noise model as {kept} ({error.strerror}): name another --store") from None


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
