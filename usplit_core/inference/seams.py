"""How visible the grid of tiles is in a prediction (docs/method.md, Evaluation).

A step is the absolute difference of two neighbouring pixels. Where the two belong to different tiles it lies across a
seam. Without artefacts the steps across seams are distributed as all others.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from usplit_core.inference.tiling import IntArray, TilePlan

Scores = NDArray[np.float64]

#: Classes of steps inside tiles that hold equally many of them.
_CLASSES = 20


class SeamLines(NamedTuple):
    """First rows and first columns of tiles, without those at the border of the frame."""

    rows: IntArray
    columns: IntArray


def seam_lines(plan: TilePlan) -> SeamLines:
    """Return where the seams of a tiling are."""
    rows, columns = np.unique(plan.kept[:, 0]), np.unique(plan.kept[:, 1])
    return SeamLines(rows[rows > 0], columns[columns > 0])


def seam_gradient_ratio(frame: NDArray[Any], seams: SeamLines) -> Scores:
    """Return the mean step across seams over the mean step inside tiles, for images (..., Y, X); 1 = no seam is seen.

    NaN where there are no seams, or the image is constant inside the tiles.
    """
    across, inside = _steps(frame, seams)
    with np.errstate(all="ignore"):
        return np.where(_is_defined(across, inside), _mean(across) / _mean(inside), np.nan)


def seam_divergence(frame: NDArray[Any], seams: SeamLines) -> Scores:
    """Return the Kullback-Leibler divergence of steps across seams from steps inside, in nats; images (..., Y, X).

    Steps are counted in 20 classes, each of which holds a twentieth of the steps inside. Without artefacts n steps
    across seams give about 10 / n. NaN as for `seam_gradient_ratio`.
    """
    across, inside = _steps(frame, seams)
    scores = np.full(across.shape[:-1], np.nan)
    for index in np.argwhere(_is_defined(across, inside)):
        here = tuple(index)
        edges = np.quantile(inside[here], np.linspace(0, 1, _CLASSES + 1)[1:-1])
        # Equal steps may fill several classes: both are counted, so that neither has to be even.
        p, q = (_shares(np.searchsorted(edges, steps[here], side="right")) for steps in (across, inside))
        scores[here] = np.sum(p * np.log(p / q))
    return scores


def _shares(classes: IntArray) -> Scores:
    # Half a step in each class keeps the logarithm finite (Krichevsky and Trofimov 1981).
    counts = np.bincount(classes, minlength=_CLASSES) + 0.5
    return np.asarray(counts / counts.sum())


def _steps(frame: NDArray[Any], seams: SeamLines) -> tuple[Scores, Scores]:
    """Return steps across seams and steps inside tiles, both (..., steps)."""
    across: list[Scores] = []
    inside: list[Scores] = []
    for axis, lines in ((-2, seams.rows), (-1, seams.columns)):
        steps = np.abs(np.diff(frame.astype(np.float64), axis=axis))
        is_seam = np.zeros(steps.shape[axis], dtype=bool)
        is_seam[lines - 1] = True
        for found, chosen in ((across, is_seam), (inside, ~is_seam)):
            part = np.compress(chosen, steps, axis=axis)
            found.append(part.reshape(*part.shape[:-2], part.shape[-2] * part.shape[-1]))
    return np.concatenate(across, axis=-1), np.concatenate(inside, axis=-1)


def _is_defined(across: Scores, inside: Scores) -> NDArray[np.bool_]:
    if not across.shape[-1] or not inside.shape[-1]:
        return np.zeros(across.shape[:-1], dtype=bool)
    return np.asarray(inside.max(axis=-1) > 0)


def _mean(steps: Scores) -> Scores:
    return np.asarray(steps.sum(axis=-1) / steps.shape[-1]) if steps.shape[-1] else np.full(steps.shape[:-1], np.nan)
