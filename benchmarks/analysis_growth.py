"""How the time of analysis grows with the number of evaluations: figures, freezing, and reading from MLflow.

    python -m benchmarks.analysis_growth
    python -m benchmarks.analysis_growth --store 100 400

Without ``--store``, planted studies are drawn and frozen from memory. With it, they are first written into a tracking
store in SQLite, which takes most of the time and is not counted. All times are those of the processor.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from analysis.description import study_record
from analysis.figures import draw_figures
from analysis.freeze import write_frozen
from analysis.frozen import read_frozen
from analysis.records import Evaluation, FrameScore, Point, Sample, StudyRecord, Trial
from analysis.store import read_study
from usplit_core.settings import Setting, flatten, format_setting, resolve
from usplit_core.vocabulary import HEADLINE, MONITOR

EVALUATIONS = (1000, 10_000)
VARIANTS, LC_DEPTHS, SEEDS = ("vanilla", "lean", "regular", "deep"), (0, 1, 2, 3, 4), 5
MODES, PADDINGS, SAMPLES = ("inner", "outer"), (0, 8, 16, 24, 32), (1, 4)
TILINGS = len(MODES) * len(PADDINGS) * len(SAMPLES)
EPOCHS, FRAMES, CHANNELS, SIDE_PX, LEVELS = 40, 3, 2, 64, 4
_HISTORY = (MONITOR.key, "validation/loss", "train/loss", "train/kl", *(f"train/kl/{level}" for level in range(LEVELS)))


class Study(NamedTuple):
    """A planted study: its description, and for each training its settings and the tilings."""

    plan: dict[str, Any]
    trainings: list[dict[str, Any]]
    tilings: list[dict[str, Any]]


def main() -> int:
    """Print a line a number of evaluations."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("evaluations", type=int, nargs="*", default=EVALUATIONS, help=f"about; from {TILINGS * 100} on")
    parser.add_argument("--store", action="store_true", help="read from a tracking store instead of memory")
    options = parser.parse_args()
    draw(in_memory(planted(min(options.evaluations))))  # what is imported once
    for count in options.evaluations:
        study = planted(count)
        with tempfile.TemporaryDirectory() as folder:
            times = from_store(study, Path(folder)) if options.store else {}
            record = in_memory(study)
            times["figures"] = _seconds(partial(draw, record))
            times["freeze"] = _seconds(partial(write_frozen, record, Path(folder) / "study.parquet"))
            times["read frozen"] = _seconds(partial(read_frozen, Path(folder) / "study.parquet"))
        words = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
        sys.stdout.write(f"{len(record.trials)} trials, {len(record.evaluations)} evaluations: {words}\n")
        sys.stdout.flush()
    return 0


def planted(evaluations: int) -> Study:
    """Return a study of about that many evaluations: variants, LC depths, patch sizes, five seeds, twenty tilings."""
    patches = [32 * (1 + index) for index in range(max(1, evaluations // (TILINGS * 100)))]
    train = {"model.variant": VARIANTS, "model.lc_depth": LC_DEPTHS, "model.patch_px": patches}
    evaluate = {"tiling.mode": MODES, "tiling.padding_px": PADDINGS, "tiling.samples": SAMPLES}
    base = flatten(resolve({"data.path": "none.tif"}))
    plan = {
        "name": "growth", "question": "How long does analysis take?", "replicates": list(range(SEEDS)),
        "train": {name: list(values) for name, values in train.items()},
        "evaluate": {name: list(values) for name, values in evaluate.items()},
        "objective": MONITOR.key, "direction": "maximise",
    }  # fmt: skip
    trainings = [
        {**base, **dict(zip(train, levels, strict=True)), "train.seed": seed}
        for levels in product(*train.values())
        for seed in range(SEEDS)
    ]
    return Study(plan, trainings, [dict(zip(evaluate, levels, strict=True)) for levels in product(*evaluate.values())])


def in_memory(study: Study) -> StudyRecord:
    """Return what a store would say of the study."""
    trials, rows = [], []
    for number, settings in enumerate(study.trainings):
        name = f"trial-{number}"
        trials.append(
            Trial(name, name, name, settings, "finished", "", costs_of(settings), partial(history_of, number))
        )
        for index, tiling in enumerate(study.tilings):
            scores = scores_of(settings, tiling, number)
            sample = partial(sample_of, number, tiling["tiling.samples"])
            own = {**settings, **tiling}
            rows.append(Evaluation(name, f"{name}-{index}", own, scores, partial(frames_of, scores), sample))
    return study_record(study.plan, trials=tuple(trials), evaluations=tuple(rows), tracking_uri="")


def from_store(study: Study, folder: Path) -> dict[str, float]:
    """Write the study into a new store; return the seconds of reading it, and of freezing it from there."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    write_store(study, uri, folder / "artifacts")
    start = time.process_time()
    record = read_study(uri, study.plan["name"])
    read = time.process_time() - start
    return {"read store": read, "freeze from store": _seconds(partial(write_frozen, record, folder / "store.parquet"))}


def write_store(study: Study, uri: str, artifacts: Path) -> None:
    """Write the study into a store, laid out as `study/tracking/tracker.py` does it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        client = MlflowClient(tracking_uri=uri)
    tags = {"usplit.study": json.dumps(study.plan)}
    experiment = client.create_experiment(study.plan["name"], artifact_location=artifacts.as_uri(), tags=tags)
    for number, settings in enumerate(study.trainings):
        points = [Metric(name, p.value, 0, p.step) for name in _HISTORY for p in history_of(number, name)]
        points += [Metric(name, value, 0, EPOCHS) for name, value in costs_of(settings).items()]
        own = {"usplit.kind": "trial", "usplit.fingerprint": f"trial-{number}", "usplit.state": "finished"}
        parent = _write_run(client, experiment, own, settings, points)
        for tiling in study.tilings:
            scores = scores_of(settings, tiling, number)
            own = {"usplit.kind": "evaluation", "usplit.state": "finished", "mlflow.parentRunId": parent}
            points = [Metric(name, value, 0, 0) for name, value in scores.items()]
            run = _write_run(client, experiment, own, {**settings, **tiling}, points)
            place = artifacts / run / "artifacts"
            place.mkdir(parents=True)
            _write_frames(place / "frames.json", scores)
            _write_sample(place / "sample.npz", sample_of(number, tiling["tiling.samples"]))


def draw(record: StudyRecord) -> None:
    """Draw every figure of the study."""
    with tempfile.TemporaryDirectory() as folder:
        draw_figures(record, Path(folder))


def scores_of(settings: Mapping[str, Any], tiling: Mapping[str, Any], number: int) -> dict[str, float]:
    """Return the scores of an evaluation: noise, a little more with context and padding."""
    noise = float(np.random.default_rng(number * TILINGS + tiling["tiling.padding_px"]).normal())
    psnr = 30 + 0.1 * settings["model.lc_depth"] + 0.01 * tiling["tiling.padding_px"] + 0.1 * noise
    scores = {
        HEADLINE.key: psnr,
        "test/psnr_db": psnr - 1,
        "test/ssim": 0.9,
        "test/seam_gradient_ratio": 1.2 + 0.01 * noise,
    }
    return scores if tiling["tiling.samples"] == 1 else {**scores, "test/calibration_error": 0.2}


def frames_of(scores: Mapping[str, float]) -> tuple[FrameScore, ...]:
    """Return the scores of every frame and channel, by name without their ``test/``."""
    return tuple(
        FrameScore(frame, channel, {name.removeprefix("test/"): value + 0.1 * frame for name, value in scores.items()})
        for frame, channel in np.ndindex(FRAMES, CHANNELS)
    )


def costs_of(settings: Mapping[str, Any]) -> dict[str, float]:
    """Return the costs of a training, and the last values of its history."""
    memory = 1e9 * (1 + settings["model.lc_depth"]) * settings["model.patch_px"] / 64
    costs = {"cost/train_seconds": 60.0, "cost/parameters": 2e6, "cost/peak_device_bytes": memory}
    return {**dict.fromkeys(_HISTORY, 1.0), **costs}


def history_of(number: int, key: str) -> tuple[Point, ...]:
    """Return a value of a metric for every epoch."""
    if key not in _HISTORY:
        return ()
    return tuple(Point(epoch, 20 + 0.1 * epoch + 0.01 * number) for epoch in range(1, EPOCHS + 1))


def sample_of(number: int, samples: int) -> Sample:
    """Return a crop, with its calibration where a pixel was predicted more than once."""
    random = np.random.default_rng(number)
    target = np.random.default_rng(0).normal(size=(CHANNELS, SIDE_PX, SIDE_PX)).astype(np.float32)
    prediction = target + random.normal(size=target.shape).astype(np.float32)
    bins = np.stack([np.full(30, 100.0), *np.linspace(0.1, 0.5, 30) * np.array([[1.0], [1.2]])], axis=1)
    return Sample(target.mean(axis=0), prediction, target, (), None if samples == 1 else np.stack([bins] * CHANNELS))


def _write_run(
    client: MlflowClient,
    experiment: str,
    tags: Mapping[str, str],
    settings: Mapping[str, Setting],
    points: list[Metric],
) -> str:
    run = client.create_run(experiment, tags=dict(tags))
    params = [Param(name, format_setting(value)) for name, value in settings.items()]
    client.log_batch(run.info.run_id, metrics=points, params=params, tags=[RunTag("mlflow.runName", "run")])
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _write_frames(path: Path, scores: Mapping[str, float]) -> None:
    rows = [{"frame": row.frame, "channel": row.channel, **row.scores} for row in frames_of(scores)]
    path.write_text(json.dumps(rows), "utf-8")


def _write_sample(path: Path, sample: Sample) -> None:
    arrays = {name: value for name, value in sample._asdict().items() if isinstance(value, np.ndarray)}
    np.savez(path, allow_pickle=False, **arrays)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
