"""What an earlier training left behind, and whether this run may go on from it."""

from pathlib import Path
from typing import Any

from usplit_core.checkpoint import read_progress
from usplit_core.config import RunConfig
from usplit_core.errors import CheckpointError
from usplit_core.identity import identity
from usplit_core.progress import Progress, progress_from_json
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
        return Progress(), {}
    earlier, saved = read_progress(last)
    _check_same_run(last, earlier, run)
    if not best.is_file():
        raise CheckpointError(f"{best} is missing, and the training in {last} cannot bring it back: delete {last}")
    return unpack(last, saved)


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
