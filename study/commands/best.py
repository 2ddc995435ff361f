"""The best model of a study, and a frame that it has split."""

import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.figures.overview import Overview, save
from analysis.records import Evaluation, StudyRecord
from study.commands.device import pick_device
from study.engine.runner import PreparedStudy
from study.planning.datasets import data_key
from study.store import Store
from usplit_core.config import TilingConfig
from usplit_core.data.frames import Frames, write_tiff
from usplit_core.data.mixing import prepare, superimpose
from usplit_core.inference.prediction import Splitter
from usplit_core.vocabulary import METRICS

#: Longest side of an overview, in px.
_OVERVIEW_PX = 700


class BestModel(NamedTuple):
    """A model file, its trial's label, and where the images lie."""

    model: Path
    label: str
    superimposed: Path
    split: Path


def keep_best(prepared: PreparedStudy, record: StudyRecord, store: Store) -> BestModel | None:
    """Copy the model with the best objective into the study's folder and split a frame with it.

    Returns
    -------
    BestModel or None
        None where nothing has been evaluated.
    """
    found = best_evaluation(record)
    if found is None:
        return None
    fingerprint, tiling = found.evaluation.trial, found.tiling
    trial = next(trial for trial in prepared.trials if trial.fingerprint == fingerprint)
    folder = store.study_folder(record.name)
    best = BestModel(
        folder / "best.safetensors", trial.label, folder / "best_superimposed.tif", folder / "best_split.tif"
    )
    source = store.trial_folder(fingerprint) / "best.safetensors"
    overview = folder / "overview.npz"
    if overview.exists() and best.model.exists() and best.model.read_bytes() == source.read_bytes():
        return best  # the overview is written last
    shutil.copyfile(source, best.model)
    _split_a_frame(best, prepared.datasets[data_key(trial.run.data)].frames, tiling, overview)
    return best


class BestEvaluation(NamedTuple):
    """The best evaluation of a study, its tiling, and the value of the objective that it was chosen by."""

    evaluation: Evaluation
    tiling: TilingConfig
    score: float


def best_evaluation(record: StudyRecord) -> BestEvaluation | None:
    """Return the evaluation with the best finite objective; None where nothing has been evaluated."""
    key = record.objective
    sign = -1 if METRICS[key].better == "lower" else 1
    # The objective of a search is one of its trainings: their evaluations are ranked by it.
    trials = {trial.fingerprint: trial.metrics for trial in record.finished}
    scored = [
        (sign * (row.metrics[key] if key in row.metrics else trials[row.trial][key]), row)
        for row in record.evaluations
        if row.trial in trials and (key in row.metrics or key in trials[row.trial])
    ]
    finite = [found for found in scored if math.isfinite(found[0])]  # NaN would stay the best if it came first
    if not finite:
        return None
    value, best = max(finite, key=lambda found: found[0])
    tiling = {
        name.removeprefix("tiling."): value for name, value in best.settings.items() if name.startswith("tiling.")
    }
    return BestEvaluation(best, TilingConfig.model_validate(tiling), sign * value)


def _split_a_frame(best: BestModel, frames: Frames, tiling: TilingConfig, overview: Path) -> None:
    splitter = Splitter.load(best.model, device=pick_device())
    statistics, names = splitter.saved.statistics, splitter.saved.channel_names
    index, box = _unseen(splitter.saved.split, frames.pixels.shape)
    target = prepare(frames.pixels[index : index + 1], statistics)
    image = superimpose(target, statistics.weights)[0]
    prediction = splitter.split(image, tiling=tiling)
    write_tiff(best.superimposed, image[None], channel_names=("superimposed",), pixel_size_um=frames.pixel_size_um)
    write_tiff(best.split, prediction, channel_names=names, pixel_size_um=frames.pixel_size_um)
    factor = -(-max(image.shape) // _OVERVIEW_PX)
    reduced = Overview(
        input=_reduce(image, factor),
        prediction=_reduce(prediction, factor),
        target=_reduce(target[0], factor),
        channels=names,
        test_box=tuple(value / factor for value in box),
        model=f"{best.label}, {tiling.mode} tiling with {tiling.padding_px} px padding",
    )
    save(overview, reduced)


def _unseen(split: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, tuple[int, int, int, int]]:
    """Return a frame with test pixels, and where they lie in it: top, left, height, width."""
    height, width = shape[-2:]
    if split["rule"] != "region":
        return split["frames"]["test"][0], (0, 0, height, width)
    start, stop = split["regions_px"]["test"]
    return 0, (start, 0, stop - start, width) if split["region_axis"] == "y" else (0, start, height, stop - start)


def _reduce(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return (…, Y, X) averaged over squares of `factor` px; a remainder at the far edges is left out."""
    height, width = (side // factor * factor for side in image.shape[-2:])
    blocks = image[..., :height, :width].reshape(*image.shape[:-2], height // factor, factor, width // factor, factor)
    reduced: NDArray[Any] = blocks.mean(axis=(-3, -1)).astype(np.float32)
    return reduced
