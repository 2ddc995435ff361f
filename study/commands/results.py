"""What a user holds at the end of a study: table, figures, report, the best model and its images."""

import shutil
from pathlib import Path
from typing import NamedTuple

from analysis.figures import FigureResult, draw_figures
from analysis.records import MissingRuns, StudyRecord
from analysis.report import write_report
from analysis.store import read_study
from analysis.tables import results_table, to_text
from study.datasets import data_key
from study.runner import PreparedStudy
from study.store import Store
from study.trial import pick_device
from usplit_core.config import TilingConfig
from usplit_core.data.frames import write_tiff
from usplit_core.data.mixing import prepare, superimpose
from usplit_core.inference.prediction import Splitter
from usplit_core.vocabulary import METRICS


class BestModel(NamedTuple):
    """The model with the best objective, and an image that it has split."""

    model: Path
    label: str
    split: Path


def table_text(record: StudyRecord) -> str:
    """Return the results table for a terminal, or why there is none."""
    try:
        return to_text(results_table(record))
    except MissingRuns as missing:
        return str(missing)


def draw_and_report(
    record: StudyRecord, folder: Path, places: dict[str, str], notes: list[str]
) -> tuple[Path, list[FigureResult]]:
    """Write every figure and the report of a study; return the report's path."""
    figures = draw_figures(record, folder / "figures")
    report = write_report(record, figures, folder, places=places, notes=notes)
    return report, figures


def keep_best(prepared: PreparedStudy, record: StudyRecord, store: Store) -> BestModel | None:
    """Copy the best model of a study into its folder and split its first frame; None where nothing is evaluated."""
    best = _best_evaluation(record)
    if best is None:
        return None
    fingerprint, tiling = best
    trial = next(trial for trial in prepared.trials if trial.fingerprint == fingerprint)
    folder = store.study_folder(record.name)
    model = folder / "best.safetensors"
    shutil.copyfile(store.trial_folder(fingerprint) / "best.safetensors", model)
    splitter = Splitter.load(model, device=pick_device())
    frames = prepared.datasets[data_key(trial.run.data)].frames
    statistics = splitter.saved.statistics
    image = superimpose(prepare(frames.pixels[:1], statistics), statistics.weights)[0]
    split = folder / "best_split.tif"
    write_tiff(
        split,
        splitter.split(image, tiling=tiling),
        channel_names=splitter.saved.channel_names,
        pixel_size_um=frames.pixel_size_um,
    )
    write_tiff(
        folder / "superimposed.tif",
        image[None],
        channel_names=("superimposed",),
        pixel_size_um=frames.pixel_size_um,
    )
    return BestModel(model, trial.label, split)


def _best_evaluation(record: StudyRecord) -> tuple[str, TilingConfig] | None:
    """Return the trial with the best objective and the tiling that gave it."""
    key = record.objective
    sign = -1 if METRICS[key].better == "lower" else 1
    scored = [evaluation for evaluation in record.evaluations if key in evaluation.metrics]
    if not scored:
        return None
    best = max(scored, key=lambda evaluation: sign * evaluation.metrics[key])
    tiling = {
        name.removeprefix("tiling."): value for name, value in best.settings.items() if name.startswith("tiling.")
    }
    return best.trial, TilingConfig.model_validate(tiling)


def read_record(store: Store, study: str) -> StudyRecord:
    """Return the record of a study in a store."""
    return read_study(store.tracking_uri, study)
