"""A small study in a real SQLite store, laid out as ``study/tracking/tracker.py`` does it: made once a session."""

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray

from usplit_core.settings import flatten, format_setting, resolve

STUDY = "tiny-lc-depth"
QUESTION = "Does lateral context help, and does padding matter less with it?"
LC_DEPTHS = (0, 2)
SEEDS = (0, 1)
TILINGS = (("inner", 0), ("inner", 16), ("outer", 0), ("outer", 16))
FRAMES = 3
EPOCHS = 5


class TinyStore(NamedTuple):
    """Where the store is."""

    uri: str
    folder: Path


class _Writer(NamedTuple):
    """Writes runs of one experiment."""

    client: MlflowClient
    experiment: str
    folder: Path

    def run(self, kind: str, tags: dict[str, str], params: dict[str, Any], metrics: list[Metric]) -> str:
        run = self.client.create_run(self.experiment, tags={"usplit.kind": kind, **tags})
        self.client.log_batch(
            run.info.run_id,
            metrics=metrics,
            params=[Param(name, format_setting(value)) for name, value in params.items()],
            tags=[RunTag("mlflow.runName", kind)],
        )
        return str(run.info.run_id)


def score_db(lc_depth: int, seed: int, mode: str, padding_px: int, frame: int = 1) -> float:
    """Return the score that the tiny study pretends to have measured; frame 1 is the middle one of three."""
    gain = 0.4 * padding_px / 16 if lc_depth == 0 else 0.1 * padding_px / 16
    return 30.0 + lc_depth + 0.2 * seed + 0.05 * seed * lc_depth + gain - 0.05 * (mode == "outer") + 0.5 * (frame - 1)


def seam_ratio(lc_depth: int, seed: int, mode: str, padding_px: int) -> float:
    """Return how visible the tiny study pretends its seams to be."""
    return 1.5 - 0.2 * (lc_depth > 0) - 0.3 * (padding_px > 0) + 0.01 * seed + 0.1 * (mode == "outer")


def _settings(lc_depth: int, seed: int) -> dict[str, Any]:
    variant = "regular" if lc_depth else "vanilla"
    run = resolve({
        "data.path": "cells.tif",
        "data.channels": ["actin", "nuclei"],
        "model.lc_depth": lc_depth,
        "model.variant": variant,
        "train.seed": seed,
    })  # fmt: skip
    return flatten(run)


def _write_trial(writer: _Writer, lc_depth: int, seed: int) -> None:
    settings = _settings(lc_depth, seed)
    name = f"trial-{lc_depth}-{seed}"
    tags = {"usplit.fingerprint": name, "usplit.cell": f"cell-{lc_depth}", "usplit.state": "finished"}
    metrics = [
        Metric("validation/psnr_db", 20 + 2 * epoch + lc_depth + 0.1 * seed, 0, epoch) for epoch in range(EPOCHS)
    ]
    metrics += [Metric("cost/train_seconds", 60.0 * (1 + lc_depth), 0, EPOCHS), Metric("cost/parameters", 2e6, 0, 0)]
    parent = writer.run("trial", tags, settings, metrics)
    for mode, padding_px in TILINGS:
        tiling = {"tiling.mode": mode, "tiling.padding_px": padding_px, "tiling.samples": 1}
        _write_evaluation(writer, {"mlflow.parentRunId": parent, "usplit.fingerprint": name}, {**settings, **tiling})
    writer.client.set_terminated(parent)


def _write_evaluation(writer: _Writer, tags: dict[str, str], settings: dict[str, Any]) -> None:
    where = (settings["model.lc_depth"], settings["train.seed"], settings["tiling.mode"], settings["tiling.padding_px"])
    rows = [
        {"frame": frame, "channel": channel, "scale_invariant_psnr_db": score_db(*where, frame), "ssim": 0.9}
        for frame in range(FRAMES)
        for channel in range(2)
    ]
    metrics = [
        Metric("test/scale_invariant_psnr_db", score_db(*where), 0, 0),
        Metric("test/psnr_db", score_db(*where) - 1, 0, 0),
        Metric("test/ssim", 0.9, 0, 0),
        Metric("test/seam_gradient_ratio", seam_ratio(*where), 0, 0),
        Metric("test/calibration_error", 0.2, 0, 0),
    ]
    run = writer.run("evaluation", {**tags, "usplit.state": "finished"}, settings, metrics)
    frames, sample = writer.folder / "frames.json", writer.folder / "sample.npz"
    frames.write_text(json.dumps(rows), encoding="utf-8")
    arrays = _sample(settings["model.lc_depth"])
    np.savez(sample, allow_pickle=False, **arrays)
    for path in (frames, sample):
        writer.client.log_artifact(run, str(path))
    writer.client.set_terminated(run)


def _sample(lc_depth: int) -> dict[str, NDArray[Any]]:
    y, x = np.mgrid[0:64, 0:96] / 8
    target = np.stack([100 + 80 * np.sin(x + y), 300 + 250 * np.cos(x) * np.sin(0.7 * y)]).astype(np.float32)
    noise = np.random.default_rng(lc_depth).normal(size=target.shape).astype(np.float32)
    deviation = np.linspace(0.1, 0.5, 30)
    calibration = np.stack([np.full(30, 100), deviation, (1 + lc_depth) * deviation], axis=1)
    return {
        "input": target.mean(axis=0),
        "target": target,
        "prediction": target + 40 / (1 + lc_depth) * noise,
        "calibration": np.stack([calibration, calibration]),
    }


def write_study(folder: Path) -> TinyStore:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        client = MlflowClient(tracking_uri=uri)
    plan = {
        "name": STUDY,
        "question": QUESTION,
        "train": {"model.lc_depth": list(LC_DEPTHS)},
        "evaluate": {"tiling.mode": ["inner", "outer"], "tiling.padding_px": [0, 16]},
        "replicates": list(SEEDS),
        "objective": "validation/psnr_db",
        "direction": "maximise",
    }
    experiment = client.create_experiment(
        STUDY,
        artifact_location=(folder / "artifacts").as_uri(),
        tags={"mlflow.note.content": QUESTION, "usplit.study": json.dumps(plan)},
    )
    client.create_experiment("of another tool")
    writer = _Writer(client, experiment, folder)
    for lc_depth in LC_DEPTHS:
        for seed in SEEDS:
            _write_trial(writer, lc_depth, seed)
    failed = {"usplit.fingerprint": "trial-2-7", "usplit.cell": "cell-2", "usplit.state": "failed",
              "usplit.reason": "the loss was <nan> & \"inf\" for 21 steps"}  # fmt: skip
    writer.run("trial", failed, _settings(2, 7), [Metric("validation/psnr_db", 12.0, 0, 0)])
    writer.run("cell", {"usplit.cell": "cell-2"}, {}, [Metric("test/ssim.mean", 0.9, 0, 0)])
    return TinyStore(uri, folder)
