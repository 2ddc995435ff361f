"""Scores of predicted frames, one row a frame and structure channel, and their means (docs/method.md, Evaluation)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usplit_core.inference.metrics import (
    ms_ssim,
    psnr,
    range_invariant_ms_ssim,
    range_invariant_ssim,
    scale_invariant_psnr,
    ssim,
)
from usplit_core.inference.micro_ssim import micro_ssim
from usplit_core.inference.seams import SeamLines, seam_divergence, seam_gradient_ratio

#: Scores of a frame's channels: name -> function of target and prediction (C, Y, X). With ``test/`` before it, a name
#: is the key in the vocabulary.
SCORES: dict[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]] = {
    "scale_invariant_psnr_db": scale_invariant_psnr,
    "psnr_db": psnr,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "range_invariant_ssim": range_invariant_ssim,
    "range_invariant_ms_ssim": range_invariant_ms_ssim,
}

#: Scores of how visible the seams are in a frame's channels: name -> function of prediction (C, Y, X) and seams.
SEAM_SCORES: dict[str, Callable[[NDArray[Any], SeamLines], NDArray[np.float64]]] = {
    "seam_gradient_ratio": seam_gradient_ratio,
    "seam_divergence": seam_divergence,
}

Row = dict[str, float | int]

#: What a row says beside its scores.
_PLACE = ("frame", "channel")


def score_frame(frame: int, target: NDArray[Any], prediction: NDArray[Any], seams: SeamLines) -> list[Row]:
    """Return one row of scores a structure channel, for a frame (C, Y, X) that was stitched along `seams`."""
    scores = {name: score(target, prediction) for name, score in SCORES.items()}
    scores |= {name: score(prediction, seams) for name, score in SEAM_SCORES.items()}
    return [
        {"frame": frame, "channel": channel, **{name: float(values[channel]) for name, values in scores.items()}}
        for channel in range(len(target))
    ]


def add_micro_ssim(
    rows: Sequence[Row], targets: Sequence[NDArray[Any]], predictions: Sequence[NDArray[Any]]
) -> list[Row]:
    """Return the rows of all frames with their MicroSSIM, which is fitted to all of them together.

    Parameters
    ----------
    rows
        As `score_frame` returns them, frames in order.
    targets, predictions
        Of each frame (C, Y, X).
    """
    scores = micro_ssim(targets, predictions)
    return [{**row, "micro_ssim": float(scores[int(row["frame"]), int(row["channel"])])} for row in rows]


def summarise(rows: Sequence[Row]) -> dict[str, float]:
    """Return the mean of each score over frames, per channel and over channels.

    Frames where a score is not defined do not count; a channel without any leaves NaN.
    """
    metrics: dict[str, float] = {}
    channels = sorted({int(row["channel"]) for row in rows})
    for name in (name for name in rows[0] if name not in _PLACE):
        means = [_mean_defined([row[name] for row in rows if row["channel"] == channel]) for channel in channels]
        metrics |= by_channel(name, means)
    return metrics


def by_channel(name: str, values: Sequence[float]) -> dict[str, float]:
    """Return ``test/NAME``, the mean over structure channels, and ``test/NAME/c`` of each."""
    each = {f"test/{name}/{channel}": value for channel, value in enumerate(values)}
    return {f"test/{name}": float(np.mean(values)), **each}


def _mean_defined(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
