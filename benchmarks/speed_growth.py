"""How time and memory grow with what is asked: trials, evaluations, larger patches, deeper context, larger frames."""

import ctypes
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures import padding_curves
from analysis.records import Evaluation, StudyRecord, Trial
from benchmarks.speed_ours import STATISTICS
from benchmarks.speed_subject import kilobytes
from study.planning.design import plan_trials
from study.spec import Grid, Study
from usplit_core.cost import reset_peak_memory
from usplit_core.data.sampling import Batch, PatchSource
from usplit_core.inference.tile_prediction import predict_frame, windows_of
from usplit_core.learner import build_learner, take_step
from usplit_core.settings import flatten, resolve
from usplit_core.vocabulary import HEADLINE

CPU = torch.device("cpu")
RATES, DROPOUTS, SEEDS = 20, 10, 5
PADDINGS = tuple(range(0, 20))
TRIALS, EVALUATIONS = 1000, 10_000
SMALL = {"data.path": "none.tif", "model.filters": 16, "model.latent_channels": 16, "train.batch_size": 4,
         "tiling.padding_px": 8}  # fmt: skip


class Growth(NamedTuple):
    """Seconds and memory of one size; how many times as much work it is as the size before, time, and memory."""

    what: str
    size: int
    seconds: float
    peak_mb: float
    work: float | None = None
    times: float | None = None
    times_memory: float | None = None


def measure_growth() -> Iterator[Growth]:
    """Yield each measurement as it is made; uses one thread."""
    torch.set_num_threads(1)
    yield from grow("planning, trials", (TRIALS // 10, TRIALS), lambda count: partial(plan, count))
    yield from grow(
        "figure, evaluations", (EVALUATIONS // 10, EVALUATIONS), lambda count: partial(draw, record_of(count))
    )
    yield from grow("training step, patch px", (32, 64, 128), lambda size: step_of(patch_px=size), power=2)
    yield from grow("training step, LC depth", (1, 2, 4), lambda size: step_of(lc_depth=size))
    yield from grow("context of a frame, px", (512, 1024, 2048), context_of, power=2)
    yield from grow("prediction of a frame, px", (128, 256, 512), prediction_of, power=2)


def grow(
    what: str, sizes: Sequence[int], prepare: Callable[[int], Callable[[], object]], *, power: int = 1
) -> Iterator[Growth]:
    """Yield the seconds and the memory of each size; the work grows with its `power`."""
    before: Growth | None = None
    for size in sizes:
        work = prepare(size)
        row = Growth(what, size, _seconds(work), _peak_mb(work))
        if before is not None:
            row = row._replace(
                work=(size / before.size) ** power,
                times=row.seconds / before.seconds,
                times_memory=row.peak_mb / before.peak_mb if before.peak_mb else None,
            )
        yield row
        before = row


def _seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the processor seconds of the fastest repetition."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def _peak_mb(work: Callable[[], object]) -> float:
    """Return the memory that one repetition takes at most beyond what the process has, to a tenth of a megabyte."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed is given back, so that it is not there to be used again
    reset_peak_memory(CPU)
    before = kilobytes("VmRSS")
    work()
    return round((kilobytes("VmHWM") - before) * 1024 / 1e6, 1)


def plan(trials: int) -> int:
    """Plan a full-factorial study of that many trials; return how many there are."""
    rates = [10.0 ** -(2 + index / 10) for index in range(RATES * trials // TRIALS)]
    dropouts = [index / 20 for index in range(DROPOUTS)]
    study = Study(
        name="growth",
        question="How long does planning take?",
        base={"data.path": "none.tif"},
        train={"train.learning_rate": Grid(*rates), "model.dropout": Grid(*dropouts)},
        evaluate={"tiling.padding_px": Grid(0, 8, 16)},
        replicates=SEEDS,
    )
    return len(plan_trials(study, lambda data: str(data.path)))


def record_of(evaluations: int) -> StudyRecord:
    """Return what a store would say of a finished study with that many evaluations."""
    count = evaluations // len(PADDINGS)
    variants = ("vanilla", "lean", "regular", "deep")
    levels = list(product(variants, range(count // len(variants))))
    random = np.random.default_rng(0)
    trials, rows = [], []
    for variant, seed in levels:
        run = resolve({"data.path": "none.tif", "model.variant": variant, "train.seed": seed})
        settings: dict[str, Any] = flatten(run)
        name = f"{variant}-{seed}"
        trials.append(Trial(name, name, variant, settings, "finished", "", {}, lambda _: ()))
        for padding in PADDINGS:
            metrics = {HEADLINE.key: 30 + 0.1 * padding + float(random.normal())}
            rows.append(
                Evaluation(
                    name, f"{name}-{padding}", {**settings, "tiling.padding_px": padding}, metrics, tuple, lambda: None
                )
            )
    return StudyRecord(
        name="growth", question="", train={"model.variant": variants}, evaluate={"tiling.padding_px": PADDINGS},
        replicates=tuple(range(count // len(variants))), objective=HEADLINE.key, objectives=(HEADLINE.key,),
        direction="maximise", trials=tuple(trials), evaluations=tuple(rows), tracking_uri="", plan={},
    )  # fmt: skip


def draw(record: StudyRecord) -> int:
    """Draw one figure of all evaluations; return how many panels it has."""
    found = padding_curves.data(record)
    figure = Figure()
    padding_curves.draw(found, figure)
    figure.canvas.draw()
    return len(figure.axes)


def step_of(*, patch_px: int = 64, lc_depth: int = 4) -> Callable[[], object]:
    """Return a training step of a small network on random images."""
    run = resolve({**SMALL, "model.depth": 4, "model.patch_px": patch_px, "model.lc_depth": lc_depth})
    learner = build_learner(run, CPU)
    size, side = run.train.batch_size, run.model.patch_px
    image = torch.randn(size, run.model.context_levels, side, side)
    batch = Batch(image, torch.randn(size, run.model.structure_channels, side, side))
    return lambda: take_step(learner, batch, run, epoch=0)


def prediction_of(side: int) -> Callable[[], object]:
    """Return what predicts a frame with a small network."""
    run = resolve(SMALL)
    module = build_learner(run, CPU).module
    image = np.random.default_rng(0).integers(0, 4000, (1, side, side), np.uint16)
    source = PatchSource.from_images(image, STATISTICS, run.data, lc_depth=run.model.lc_depth)
    return lambda: predict_frame(module, windows_of(source, 0), (side, side), tiling=run.tiling)


def context_of(side: int) -> Callable[[], object]:
    """Return what builds all context levels of one frame."""
    pixels = np.random.default_rng(0).integers(0, 4000, (1, 2, side, side), np.uint16)
    run = resolve(SMALL)
    return lambda: PatchSource.from_frames(pixels, STATISTICS, run.data, lc_depth=4)
