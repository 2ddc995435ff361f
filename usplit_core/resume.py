"""What an earlier training left behind, and whether this run may go on from it."""

from pathlib import Path
from typing import Any

from usplit_core.checkpoint import hand_on_training, read_progress
from usplit_core.config import RunConfig
from usplit_core.errors import CheckpointError
from usplit_core.identity import identity
from usplit_core.progress import Progress, handed_on, progress_from_json
from usplit_core.settings import flatten


def continue_from(last: Path, best: Path, run: RunConfig) -> tuple[Progress, dict[str, Any]]:
    """Return how far an earlier training of `run` has come and the state of its schedule; both empty if there is none.

    Parameters
    ----------
    last, best
        Its training file and its model file.
    run
        The run to continue.

    Raises
    ------
    CheckpointError
        If the training file belongs to another run or cannot be used, or the model file is missing.
    """
    if not last.exists():
        if run.train.continue_from is not None:
            raise CheckpointError(f"train.continue_from = {run.train.continue_from}: that training was not handed on")
        return Progress(), {}
    earlier, saved = read_progress(last)
    _check_same_run(last, earlier, run)
    progress, schedule = unpack(last, saved)
    if progress.epochs_run and not best.is_file():
        raise CheckpointError(f"{best} is missing, and the training in {last} cannot bring it back: delete {last}")
    return progress, schedule


def begin_after(origin: Path, last: Path, run: RunConfig) -> None:
    """Let `run` go on with weights, optimiser, schedule and order of the data of another training.

    With equal settings both are one long training. History and best weights are those of `run` alone.

    Parameters
    ----------
    origin
        Training file of the run that ``train.continue_from`` names.
    last
        Training file of `run`, written where there is none.
    run
        The run that goes on.

    Raises
    ------
    CheckpointError
        If the origin is missing, unfinished or cannot be used.
    OutputError
        If `last` cannot be written.
    """
    if last.exists():
        return
    wanted = f"train.continue_from = {run.train.continue_from}"
    if not origin.is_file():
        raise CheckpointError(f"{wanted}: {origin} is missing; finish that training in this store, or set it to None")
    earlier, saved = read_progress(origin)
    progress, schedule = unpack(origin, saved)
    if progress.stopped is None:
        raise CheckpointError(
            f"{wanted}: that training has come to epoch {progress.epochs_run} of {earlier.train.epochs} only; "
            "let it finish first"
        )
    # The schedule may have lowered the rate: that goes on, from the rate that this run begins with.
    factor = run.train.learning_rate / earlier.train.learning_rate
    begun = {"epochs": handed_on(progress)._asdict(), "schedule": schedule}
    last.parent.mkdir(parents=True, exist_ok=True)
    hand_on_training(origin, last, run=run, progress=begun, rate_factor=factor)


def unpack(last: Path, saved: dict[str, Any]) -> tuple[Progress, dict[str, Any]]:
    """Return progress and state of the schedule from what the training file `last` holds.

    Raises
    ------
    CheckpointError
        If something is missing or unknown.
    """
    try:
        return progress_from_json(saved["epochs"]), saved["schedule"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"the progress in {last} cannot be used ({error!r}): delete it to train again") from error


def read_best_metrics(last: Path) -> dict[str, float]:
    """Return the metrics of the best epoch so far and the cost of the training, by the keys of the vocabulary.

    Parameters
    ----------
    last
        The training file; without one, nothing is known.

    Raises
    ------
    CheckpointError
        If the training file cannot be read.
    """
    if not last.exists():
        return {}
    _, saved = read_progress(last)
    progress, _ = unpack(last, saved)
    return {**progress.best_metrics, **progress.cost}


def _check_same_run(last: Path, earlier: RunConfig, run: RunConfig) -> None:
    """Refuse to continue under other settings; where files lie and how images will be tiled may change."""
    before, now = identity(earlier), identity(run)
    was, is_now = flatten(earlier), flatten(run)
    changed = [
        f"{name} (was {was[name]!r}, now {is_now[name]!r})"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise CheckpointError(
            f"{last} belongs to another run, which differs in {', '.join(changed)}: "
            "use another folder, or delete this one to train again"
        )
