"""Identity of a trial: a hash of everything that can change its result, and of nothing else.

Two runs with the same fingerprint are the same trial, in whichever study they were asked for:
a finished one is never trained again, an unfinished one is resumed.
"""

import hashlib
import json
from typing import Any, NamedTuple

from study.planning.noise_models import content_of_noise_model
from usplit_core import NUMERICS_VERSION
from usplit_core.config import RunConfig, TilingConfig
from usplit_core.identity import identity

_SEEDS = ("train.seed", "train.data_seed")


class Identities(NamedTuple):
    """The fingerprint of a trial, and the cell that it shares with its replicates."""

    fingerprint: str
    cell: str


def identities(run: RunConfig, content: str) -> Identities:
    """Return what the trial that trains `run` on frames with the content hash `content` is known by.

    Raises
    ------
    CheckpointError
        If the noise model of the run cannot be read: its content is part of the identity.
    """
    everything = _everything(run, content)
    without_seeds = {name: value for name, value in everything.items() if name not in _SEEDS}
    return Identities(_hash(everything), _hash(without_seeds))


def fingerprint(run: RunConfig, content: str) -> str:
    """Return the identity of a trial; see `identities`."""
    return identities(run, content).fingerprint


def cell(run: RunConfig, content: str) -> str:
    """Return the identity that a trial shares with its replicates: its fingerprint without the seeds."""
    return identities(run, content).cell


def evaluation_key(tiling: TilingConfig) -> str:
    """Return a readable name of a tiling, unique among the evaluations of a trial: ``inner-16px-1``.

    What is not the default follows: ``sliding-16px-1-stride8px``, ``inner-16px-1-shift``, ``inner-16px-1-left_out``,
    ``inner-16px-1-bfloat16``.
    """
    parts = [tiling.mode, f"{tiling.padding_px}px", str(tiling.samples)]
    if tiling.stride_px is not None:
        parts.append(f"stride{tiling.stride_px}px")
    if tiling.border is not None:
        parts.append(tiling.border)
    if tiling.remainder != "covered":
        parts.append(tiling.remainder)
    if tiling.precision != "float32":
        parts.append(tiling.precision)
    return "-".join(parts)


def _everything(run: RunConfig, content: str) -> dict[str, Any]:
    noise_model = run.objective.noise_model_path
    return {
        **identity(run),
        "content": content,
        "noise_model": None if noise_model is None else content_of_noise_model(noise_model),
        "numerics": NUMERICS_VERSION,
    }


def _hash(everything: dict[str, Any]) -> str:
    text = json.dumps(everything, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
