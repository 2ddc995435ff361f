"""Training: `fit` turns the parts of a data set into the file of a trained network.

Everything random is drawn from a seed and the number of the step or epoch, so an interrupted
training continues exactly, and two trainings of equal seeds are equal (docs/method.md, Training):
to the last digit on a CPU with the same number of threads, up to the order of sums on a GPU.
"""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple

import torch

from usplit_core import __version__
from usplit_core.checkpoint import SavedModel, load_training, read_progress
from usplit_core.checkpointing import BEST, LAST, Checkpoints
from usplit_core.config import RunConfig
from usplit_core.cost import measure_cost, reset_peak_memory
from usplit_core.data.mixing import Statistics
from usplit_core.data.sampling import PatchSource, steps_of_epoch
from usplit_core.data.splits import Parts
from usplit_core.learner import (
    Learner,
    build_learner,
    check_device,
    draw_from,
    own_random_numbers,
    restore_schedule,
    take_step,
)
from usplit_core.models.noise_model import NoiseModel, in_units, noise_model_of
from usplit_core.progress import (
    Progress,
    add_cost,
    add_epoch,
    changing,
    collapsed_levels,
    count_silent_epochs,
    is_best,
)
from usplit_core.resume import continue_from, unpack
from usplit_core.validation import target_ranges, validate
from usplit_core.vocabulary import MONITOR
from usplit_core.whole_files import remove_unfinished_writes

#: What random numbers are for: together with a seed and a step, the key that they are drawn from.
_TRAINING, _VALIDATION = 1, 2


class StopTraining(Exception):
    """Raised by `report`: end the training here; it can be continued later."""


class TrainingDiverged(RuntimeError):
    """Training has left the finite numbers and will not come back."""


class EpochReport(NamedTuple):
    """What `fit` reports after each epoch, counted from 1, once its checkpoints are written, where it has any."""

    epoch: int
    epochs: int
    metrics: dict[str, float]
    is_best: bool


class FitResult(NamedTuple):
    """What became of a training."""

    epochs_run: int
    best_epoch: int
    best_metrics: dict[str, float]
    stopped: Literal["finished", "early_stop", "interrupted"]
    model: Path
    cost: dict[str, float]


class _Session(NamedTuple):
    """What stays the same from epoch to epoch."""

    run: RunConfig
    learner: Learner
    training: PatchSource
    validation: PatchSource
    ranges: tuple[float, ...]
    steps_per_epoch: int
    noise_model: NoiseModel | None


def write_anyway() -> None:
    """Let every write happen: the `may_write` of a training that nobody else can take over."""


def fit(
    run: RunConfig,
    parts: Parts,
    *,
    statistics: Statistics,
    channel_names: tuple[str, ...],
    folder: Path,
    report: Callable[[EpochReport], None],
    device: torch.device | str = "cpu",
    may_write: Callable[[], None] = write_anyway,
) -> FitResult:
    """Train a network, or continue where an earlier call on `folder` ended.

    Parameters
    ----------
    run
        Data, network, objective and schedule.
    parts
        Frames (N, C, Y, X) of the training and validation parts, raw intensities.
    statistics
        Of the training part, from `usplit_core.data.mixing.fit_statistics`.
    channel_names
        Of the structure channels, for the model file.
    folder
        Receives ``last.safetensors``, to continue from, and ``best.safetensors``, to predict with, every
        ``train.checkpoint_every_epochs`` epochs and at the end. Of a training that is over, the result is
        returned at once. A run with ``train.continue_from`` needs what `usplit_core.resume.begin_after` puts
        there.
    report
        Called after each epoch. `StopTraining` raised there ends the training; all other
        exceptions pass through, and the training can be continued in either case.
    device
        Where to compute.
    may_write
        Called before each write in `folder`; raises if another process has taken the folder over.

    Raises
    ------
    TrainingDiverged
        After more than ``train.max_skipped_steps`` non-finite steps in a row, or a non-finite validation.
    CheckpointError
        If `folder` holds another run, or files that cannot be used, or the noise model cannot be used.
    UserError
        If the device cannot compute what the run asks for, or the validation part cannot be scored.
    """
    device = check_device(device, run.train)
    progress, schedule = continue_from(folder / LAST, folder / BEST, run)
    if progress.stopped is None:
        record = SavedModel(run, statistics, parts.record, {}, 0, __version__, channel_names)
        checkpoints = Checkpoints(folder, record, may_write)
        with own_random_numbers(device):
            session = _open_session(parts, checkpoints, schedule, device)
            progress = _train(session, progress, checkpoints, report)
    stopped = progress.stopped or "interrupted"
    best = (progress.best_epoch, progress.best_metrics)
    return FitResult(progress.epochs_run, *best, stopped, folder / BEST, dict(progress.cost))


def read_history(folder: Path) -> list[EpochReport]:
    """Return every report of the training in `folder`, for a listener that missed some; empty if there is none.

    Raises
    ------
    CheckpointError
        If the training file cannot be read.
    """
    last = folder / LAST
    if not last.exists():
        return []
    run, saved = read_progress(last)
    return _reports(unpack(last, saved)[0], run)


def _reports(progress: Progress, run: RunConfig) -> list[EpochReport]:
    numbered = enumerate(zip(progress.history, is_best(progress.history), strict=True), start=1)
    return [EpochReport(epoch, run.train.epochs, metrics, best) for epoch, (metrics, best) in numbered]


def _open_session(parts: Parts, checkpoints: Checkpoints, schedule: dict[str, Any], device: torch.device) -> _Session:
    """Bring everything to the device; `schedule` is empty at the start of a training."""
    run = checkpoints.record.run
    noise_model = _noise_model(checkpoints.record, device)
    checkpoints.may_write()
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished_writes(checkpoints.folder)
    reset_peak_memory(device)
    training, validation = (
        PatchSource.from_frames(
            pixels,
            checkpoints.record.statistics,
            run.data,
            lc_depth=run.model.lc_depth,
            device=device,
            arrays=parts.arrays_of(part),
        )
        for part, pixels in (("train", parts.train), ("validation", parts.validation))
    )
    learner = build_learner(run, device)
    if schedule:
        load_training(checkpoints.folder / LAST, learner.module, learner.optimiser)
        restore_schedule(learner, schedule)
    steps = steps_of_epoch(training.shape, run)
    return _Session(run, learner, training, validation, target_ranges(validation, run), steps, noise_model)


def _noise_model(record: SavedModel, device: torch.device) -> NoiseModel | None:
    """Return the noise model of the run, where it has one, in units of the targets."""
    model = noise_model_of(record.run)
    if model is None:
        return None
    mean, deviation = record.statistics.target_mean, record.statistics.target_std
    return NoiseModel(*(tensor.to(device) for tensor in in_units(model, torch.tensor(mean), torch.tensor(deviation))))


def _train(
    session: _Session, progress: Progress, checkpoints: Checkpoints, report: Callable[[EpochReport], None]
) -> Progress:
    """Train until the schedule or `report` says stop."""
    while progress.stopped is None:
        progress = _run_epoch(session, progress)
        checkpoints.after_epoch(session.learner, progress)
        try:
            report(_reports(progress, session.run)[-1])
        except StopTraining:
            checkpoints.write(session.learner, progress)
            break
    return progress


def _run_epoch(session: _Session, progress: Progress) -> Progress:
    """Train and validate for one epoch."""
    run, learner = session.run, session.learner
    started = perf_counter()
    metrics, progress = _train_epoch(session, progress)
    draw_from(learner.device, run.train.seed, _VALIDATION)
    metrics |= validate(learner.module, session.validation, run, session.ranges, session.noise_model)
    if not all(map(math.isfinite, metrics.values())):
        raise TrainingDiverged(
            f"the validation of epoch {progress.epochs_run + 1} is not finite: lower train.learning_rate, "
            "or set train.precision to float32"
        )
    learner.plateau.step(metrics[MONITOR.key])
    cost = add_cost(progress.cost, measure_cost(learner.module, learner.device, perf_counter() - started))
    return add_epoch(progress._replace(cost=cost), metrics | changing(cost), run.train)


def _train_epoch(session: _Session, progress: Progress) -> tuple[dict[str, float], Progress]:
    """Take the steps of one epoch; return the means of their metrics."""
    run, learner, epoch = session.run, session.learner, progress.age
    started = perf_counter()
    totals: Counter[str] = Counter()
    good, in_a_row = 0, progress.skipped_in_a_row
    learner.module.train()
    steps = range(epoch * session.steps_per_epoch, (epoch + 1) * session.steps_per_epoch)
    batches = session.training.training_batches(
        run.train.data_order_seed, steps, batch_size=run.train.batch_size, patch_px=run.model.patch_px
    )
    for step, batch in zip(steps, batches, strict=True):
        draw_from(learner.device, run.train.seed, _TRAINING, step)
        metrics = take_step(learner, batch, run, epoch=epoch, noise_model=session.noise_model)
        if metrics is None:
            in_a_row += 1
            _check_skipped(in_a_row, step, run)
        else:
            good, in_a_row = good + 1, 0
            totals.update(metrics)
    means = {name: total / good for name, total in totals.items()}
    silent = count_silent_epochs(progress.silent_epochs, means)
    patches = session.steps_per_epoch * run.train.batch_size
    means |= {
        "train/learning_rate": learner.learning_rate,
        "train/skipped_steps": float(session.steps_per_epoch - good),
        "train/patches_per_second": patches / (perf_counter() - started),
    }
    if silent:
        means["train/collapsed_levels"] = float(collapsed_levels(silent))
    return means, progress._replace(silent_epochs=silent, skipped_in_a_row=in_a_row)


def _check_skipped(in_a_row: int, step: int, run: RunConfig) -> None:
    if in_a_row > run.train.max_skipped_steps:
        raise TrainingDiverged(
            f"loss or gradient was not finite in {in_a_row} steps in a row, up to step {step}, and "
            f"train.max_skipped_steps = {run.train.max_skipped_steps}: lower train.learning_rate, lower "
            "train.gradient_clip, or set train.precision to float32"
        )
