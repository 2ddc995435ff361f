"""The driver's books: every message of a worker goes into the ledger and the tracking store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from study.datasets import DataKey, Dataset, data_key
from study.design import PlannedTrial
from study.ledger import Ledger
from study.noise_models import keep_noise_model
from study.store import Store
from study.tracking import Tracker, TrackingError
from study.trial import Assignment, Message
from study.trial_folder import clear, read_evaluation, read_result

Show = Callable[[str, Message], None]


class Driver:
    """Hands out assignments and books what comes back; lives in the process that runs the study.

    Attributes
    ----------
    show
        Takes every message after it has been booked.
    tracking_problem
        The last error of the tracking store; what it missed is sent when the study ends.
    """

    def __init__(
        self, trials: Sequence[PlannedTrial], *, store: Store, ledger: Ledger, tracker: Tracker, study: str
    ) -> None:
        self._trials = {trial.fingerprint: trial for trial in trials}
        self._store = store
        self._ledger = ledger
        self._tracker = tracker
        self._study = study
        self.tracking_problem = ""
        self.show: Show = lambda fingerprint, message: None

    def discard_results(self) -> None:
        """Forget everything that has been computed of this study's trials."""
        self._ledger.forget(list(self._trials))
        for fingerprint in self._trials:
            clear(self._store.trial_folder(fingerprint))
            self._tracker.delete_runs(fingerprint)

    def recover(self) -> None:
        """Note in the ledger what lies finished in the trial folders.

        A driver that was killed may have missed messages; a ledger that was lost is made again.
        """
        for status in self._ledger.statuses(self._study):
            folder = self._store.trial_folder(status.fingerprint)
            for key in self._trials[status.fingerprint].evaluation_keys:
                scores = read_evaluation(folder, key)
                if scores is not None and self._ledger.evaluation_metrics(status.fingerprint, key) is None:
                    self._ledger.store_evaluation(status.fingerprint, key, scores["metrics"])
            if status.state == "pending" and read_result(folder) is not None:
                self._ledger.close_attempt(status.fingerprint, "finished", outcome="recovered")

    def assignments(self, datasets: Mapping[DataKey, Dataset], *, threads: int, device: str) -> Iterator[Assignment]:
        """Yield what is still to be computed, leasing each trial at the moment it is asked for."""
        # All at once, before the first trial: whoever moves the file later disturbs nothing.
        noise_models = self._store.noise_model_folder
        runs = {trial.fingerprint: keep_noise_model(trial.run, noise_models) for trial in self._trials.values()}
        for status in self._ledger.statuses(self._study):
            if not status.is_open:
                continue
            trial = self._trials[status.fingerprint]
            dataset = datasets[data_key(trial.run.data)]
            yield Assignment(
                fingerprint=trial.fingerprint,
                attempt=self._ledger.lease(trial.fingerprint),
                label=trial.label,
                folder=str(self._store.trial_folder(trial.fingerprint)),
                run=runs[trial.fingerprint].model_dump(mode="json"),
                tilings=[tiling.model_dump() for tiling in trial.tilings],
                content=dataset.content,
                channel_names=list(dataset.frames.channel_names),
                threads=threads,
                device=device,
            )

    def take(self, fingerprint: str, message: Message) -> None:
        """Book one message of a worker."""
        trial = self._trials[fingerprint]
        kind = message["kind"]
        if kind == "started":
            self._track(lambda: self._tracker.open_trial(trial, {"usplit.host": message["host"]}))
        elif kind == "epoch":
            self._track(lambda: self._tracker.log_epoch(fingerprint, message["epoch"], message["metrics"]))
        elif kind == "evaluation":
            self._ledger.store_evaluation(fingerprint, message["key"], message["metrics"])
        elif kind == "finished":
            self._close(trial, "finished", "")
        elif kind == "failed":
            self._close(trial, "failed", message["reason"])
        self.show(fingerprint, message)

    def lose(self, fingerprint: str, reason: str) -> None:
        """Book a trial whose worker was lost more often than it is repeated."""
        self.take(fingerprint, {"kind": "failed", "reason": reason})

    def _close(self, trial: PlannedTrial, state: Any, reason: str) -> None:
        self._ledger.close_attempt(trial.fingerprint, state, outcome=state, reason=reason)
        folder = self._store.trial_folder(trial.fingerprint)
        self._track(lambda: self._tracker.sync_trial(trial, folder, state=state, reason=reason))

    def _track(self, write: Callable[[], None]) -> None:
        """Write to the tracking store; where it fails, go on: the trial folders hold everything."""
        try:
            write()
        except TrackingError as error:
            self.tracking_problem = str(error)

    def settle(self) -> bool:
        """Bring ledger and tracking store in line with the trial folders, and leave no run open.

        Returns
        -------
        bool
            Whether trials were still with workers, which an interrupted launch leaves behind.

        Raises
        ------
        TrackingError
            If the tracking store still fails.
        """
        interrupted = self._ledger.release_leases("interrupted")
        self.recover()
        for status in self._ledger.statuses(self._study):
            if status.state in ("finished", "failed"):
                trial, folder = self._trials[status.fingerprint], self._store.trial_folder(status.fingerprint)
                self._tracker.sync_trial(trial, folder, state=status.state, reason=status.reason)
        self._tracker.log_cells(self._trials.values(), self._store.trial_folder)
        self._tracker.end_orphans()
        return interrupted
