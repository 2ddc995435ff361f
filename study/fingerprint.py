"""Identity of a trial: a hash of everything that can change its result, and of nothing else.

Two runs with the same fingerprint are the same trial, in whichever study they were asked for:
a finished one is never trained again, an unfinished one is resumed.
"""

import hashlib
import json
from typing import Any

from usplit_core import NUMERICS_VERSION
from usplit_core.config import EVALUATION_SECTIONS, RunConfig, TilingConfig

#: Where the pixels come from does not matter beside what they are, which the content hash says.
_PLACES = ("path", "axes", "channels")
_SEEDS = ("seed", "data_seed")


def fingerprint(run: RunConfig, content: str) -> str:
    """Return the identity of the trial that trains `run` on frames with the content hash `content`."""
    return _hash(_identity(run, content))


def cell(run: RunConfig, content: str) -> str:
    """Return the identity that a trial shares with its replicates: its fingerprint without the seeds."""
    identity = _identity(run, content)
    for name in _SEEDS:
        identity["train"].pop(name)
    return _hash(identity)


def evaluation_key(tiling: TilingConfig) -> str:
    """Return a readable name of a tiling, unique among the evaluations of a trial: ``inner-16px-1``."""
    return f"{tiling.mode}-{tiling.padding_px}px-{tiling.samples}"


def _identity(run: RunConfig, content: str) -> dict[str, Any]:
    identity: dict[str, Any] = run.model_dump(mode="json", exclude=set(EVALUATION_SECTIONS))
    for name in _PLACES:
        identity["data"].pop(name)
    identity["data"]["content"] = content
    identity["train"]["data_seed"] = run.train.data_order_seed
    identity["numerics"] = NUMERICS_VERSION
    return identity


def _hash(identity: dict[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
