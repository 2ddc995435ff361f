"""Studies with known effects, made in memory: no store is written or read."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from analysis.description import study_record
from analysis.records import Evaluation, FrameScore, Point, Settings, StudyRecord, Trial
from usplit_core.settings import DEFAULT_VALUES, Setting

PSNR = "test/scale_invariant_psnr_db"
Score = Callable[[Mapping[str, Any], int], float]


def planted_study(
    score: Score,
    *,
    train: Mapping[str, Sequence[Setting]],
    evaluate: Mapping[str, Sequence[Setting]] | None = None,
    seeds: int = 3,
    frames: int = 3,
    costs: Callable[[Mapping[str, Any]], Mapping[str, float]] | None = None,
    **plan: Any,
) -> StudyRecord:
    """Return a finished study whose evaluations score what `score` says of their settings and seed.

    Frames spread by 1 dB around the score of the whole; trials cost what `costs` says.
    """
    trials, evaluations = [], []
    levels = evaluate or {"tiling.padding_px": (16,)}
    for number, (values, seed) in enumerate(itertools.product(itertools.product(*train.values()), range(seeds))):
        own: dict[str, Setting] = {
            **DEFAULT_VALUES,
            "data.path": "cells.tif",
            **_context(dict(zip(train, values, strict=True))),
        }
        own["train.seed"] = seed
        trial = _trial(f"trial-{number}", own, number, {} if costs is None else costs(own))
        trials.append(trial)
        for tiling in itertools.product(*levels.values()):
            settings = {**own, **dict(zip(levels, tiling, strict=True))}
            evaluations.append(_evaluation(trial.fingerprint, settings, score(settings, seed), frames))
    description = {
        "name": "planted", "question": "What was planted?", "train": {name: list(v) for name, v in train.items()},
        "evaluate": {name: list(v) for name, v in (evaluate or {}).items()}, "replicates": list(range(seeds)),
        "objective": PSNR, "direction": "maximise", **plan,
    }  # fmt: skip
    return study_record(description, trials=tuple(trials), evaluations=tuple(evaluations), tracking_uri="")


def noise(settings: Settings, seed: int, scale: float = 0.05) -> float:
    """Return a normal deviate that depends on nothing but the settings that were varied and the seed."""
    text = repr(sorted((name, str(value)) for name, value in settings.items()))
    return scale * float(np.random.default_rng([seed, *text.encode()]).normal())


def _context(varied: dict[str, Setting]) -> dict[str, Setting]:
    depth = varied.get("model.lc_depth", 0)
    return {"model.lc_depth": depth, "model.depth": 4, "model.variant": "regular" if depth else "vanilla", **varied}


def _trial(name: str, settings: Settings, number: int, costs: Mapping[str, float]) -> Trial:
    metrics = {"validation/psnr_db": 20.0 + number % 7, "cost/train_seconds": 60.0, "cost/parameters": 2e6, **costs}
    return Trial(
        fingerprint=name,
        run_id=name,
        cell=name,
        settings=settings,
        state="finished",
        reason="",
        metrics=metrics,
        history=partial(_history, metrics),
        started=1e9 + number,
    )


def _history(metrics: Mapping[str, float], key: str) -> tuple[Point, ...]:
    if key.startswith("train/kl/") and key in metrics:
        return tuple(Point(epoch, metrics[key] * (1 - 0.5 / (1 + epoch))) for epoch in range(5))
    return tuple(Point(epoch, metrics[key] - 5 + epoch) for epoch in range(5)) if key in metrics else ()


def _evaluation(trial: str, settings: Settings, value: float, frames: int) -> Evaluation:
    spread = np.linspace(-1, 1, frames) if frames > 1 else np.zeros(1)
    scores = tuple(
        FrameScore(frame, channel, {"scale_invariant_psnr_db": value + float(spread[frame]) + 0.2 * channel - 0.1})
        for frame in range(frames)
        for channel in range(2)
    )
    return Evaluation(trial, trial, settings, {PSNR: value, "test/ssim": 0.9}, lambda: scores, lambda: None)
