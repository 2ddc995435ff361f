"""Which epochs of a training leave files behind: every one, or as often as ``train.checkpoint_every_epochs`` says."""

import copy
from collections.abc import Callable
from pathlib import Path

from torch import nn

from usplit_core.checkpoint import SavedModel, save_model, save_training
from usplit_core.learner import Learner, schedule_state
from usplit_core.progress import Progress

LAST = "last.safetensors"
BEST = "best.safetensors"


class Checkpoints:
    """Writes ``last.safetensors``, to continue from, and ``best.safetensors``, to predict with.

    The best weights of epochs that leave no files are kept in memory until one does.

    Parameters
    ----------
    folder
        Where the files lie.
    record
        What model files say; metrics and epoch are filled in.
    may_write
        Called before each write; raises if another process has taken the folder over.
    """

    def __init__(self, folder: Path, record: SavedModel, may_write: Callable[[], None]) -> None:
        self.folder, self.record, self.may_write = folder, record, may_write
        self._best: nn.Module | None = None
        self._written = 0

    def after_epoch(self, learner: Learner, progress: Progress) -> None:
        """Write where the epoch that has just ended is due, or the last one."""
        due = progress.stopped is not None or progress.epochs_run % self.record.run.train.checkpoint_every_epochs == 0
        if progress.best_epoch == progress.epochs_run:
            self._best = learner.module if due else copy.deepcopy(learner.module)
        if due:
            self.write(learner, progress)

    def write(self, learner: Learner, progress: Progress) -> None:
        """Write the files of the epoch that has just ended, unless they are."""
        if self._written == progress.epochs_run:
            return
        # The best weights first: after a kill in between, the epochs are repeated and write them again.
        if self._best is not None:
            self.may_write()
            best = self.record._replace(metrics=progress.best_metrics, epoch=progress.best_epoch)
            save_model(self.folder / BEST, self._best, best)
        self.may_write()
        saved = {"epochs": progress._asdict(), "schedule": schedule_state(learner)}
        save_training(self.folder / LAST, learner.module, learner.optimiser, run=self.record.run, progress=saved)
        self._best, self._written = None, progress.epochs_run
