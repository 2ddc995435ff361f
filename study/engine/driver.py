"""The driver's books: every message of a worker goes into the ledger and the tracking store."""

from collections.abc import Callable, Collection, Mapping, Sequence

from study.engine.failures import FailureCount
from study.engine.ledger import Ledger, State, TrialStatus
from study.engine.limits import Limits
from study.engine.points import Points
from study.engine.queue import Queue, Request
from study.engine.slots import Slots
from study.engine.trial import Assignment, Message
from study.engine.trial_folder import read_evaluation, read_result
from study.planning.datasets import DataKey, Dataset, data_key
from study.planning.design import PlannedTrial
from study.planning.noise_models import keep_noise_model
from study.sharing.shared_store import clear_trials, fetch_trials, seal_trials, share_noise_model
from study.spec import Study
from study.store import Store
from study.tracking.tracker import Tracker

Show = Callable[[str, Message], None]


class Driver:
    """Hands out assignments and books what comes back; lives in the process that runs the study.

    Attributes
    ----------
    show
        Takes every message after it has been booked.
    show_trials
        Takes trials that a search has added.
    evaluated
        How many evaluations this launch has computed.
    held_back
        Which limit of the budget keeps trials from being begun; empty if none does.
    stop_reason
        Why the study is to stop before all is computed; empty while it is not.
    """

    def __init__(self, study: Study, trials: Sequence[PlannedTrial], *, store: Store, ledger: Ledger, tracker: Tracker):
        self._study = study
        self._trials = {trial.fingerprint: trial for trial in trials}
        self._store = store
        self._ledger = ledger
        self._tracker = tracker
        self._failures = FailureCount(study.failures_allowed)
        self._leased: set[str] = set()
        self._limits = Limits(study, ledger, store)
        self._queue = Queue([], [])
        self._points: Points | None = None
        self._stepped, self._trained = set[str](), set[str]()
        self.evaluated = 0
        self.held_back = self.stop_reason = ""
        self.show: Show = lambda fingerprint, message: None
        self.show_trials: Callable[[Sequence[PlannedTrial]], None] = lambda trials: None

    def discard_results(self) -> None:
        """Forget everything that has been computed of this study's trials, and then what its search has drawn."""
        self._ledger.forget(list(self._trials))
        clear_trials(self._store, self._trials)
        for fingerprint in self._trials:
            self._tracker.delete_runs(fingerprint)
        self._ledger.forget_points(self._study.name)

    def recover(self, only: Collection[str] | None = None) -> None:
        """Note in the ledger what lies finished in the folders of all trials, or of some.

        A driver that was killed may have missed messages; a ledger that was lost is made again.
        """
        statuses = [s for s in self._ledger.statuses(self._study.name) if only is None or s.fingerprint in only]
        fetch_trials(self._store, [status.fingerprint for status in statuses])
        for status in statuses:
            folder = self._store.trial_folder(status.fingerprint)
            for key in self._trials[status.fingerprint].evaluation_keys:
                scores = read_evaluation(folder, key)
                if scores is not None and self._ledger.evaluation_metrics(status.fingerprint, key) is None:
                    self._ledger.store_evaluation(status.fingerprint, key, scores["metrics"])
            if status.state == "pending" and read_result(folder) is not None:
                self._ledger.close_attempt(status.fingerprint, "finished", outcome="recovered")

    def begin(self, points: Points | None) -> None:
        """Line up what is to be computed.

        Parameters
        ----------
        points
            The search, where the study is one; its open points are among the trials already.
        """
        statuses = self._ledger.statuses(self._study.name)
        trials = [self._trials[status.fingerprint] for status in statuses]
        self._points = points
        self._queue = Queue(trials, statuses, replay_closed=self._study.stopping is not None, points=points)
        if points is not None:
            for status in statuses:
                self._close_points(status)

    def connect(self, datasets: Mapping[DataKey, Dataset], slots: Slots) -> None:
        """Take note of the images and of what the cluster has room for."""
        self._datasets = datasets
        self._slots = slots

    def next_assignment(self) -> Assignment | None:
        """Lease the next trial; None where there is none at this moment.

        A search draws a point only when a slot is free for it, so that it knows as much as it can.
        """
        if self.stop_reason or self._is_held_back():
            return None
        request = self._queue.next()
        while request is None:
            if self._points is None or len(self._leased) >= self._slots.count():
                return None
            drawn = self._queue.draw()
            if drawn is None:
                return None
            self._add(drawn)
            request = self._queue.next()
        return self._assign(request)

    def _is_held_back(self) -> bool:
        """Return whether nothing more is begun, although something is left: the budget is used."""
        left = self._queue.has_open() or (self._points is not None and self._points.left > 0)
        if not left or self._queue.has_replays():
            return False
        # Evaluations of what is trained are no trainings.
        self.held_back = self._limits.used_up(trainings=not self._queue.has_trained())
        return bool(self.held_back)

    def has_work(self) -> bool:
        """Return whether anything is to be computed."""
        while not self._is_held_back():
            if self._queue.has_open():
                return True
            drawn = self._queue.draw()
            if drawn is None:
                return False
            self._add(drawn)
        return False

    @property
    def trials(self) -> list[PlannedTrial]:
        """All trials of the study, those that a search has drawn included."""
        return list(self._trials.values())

    @property
    def trained(self) -> int:
        """How many trials this launch has trained to their end, or to where they were stopped early."""
        return len(self._trained)

    def has_leases(self) -> bool:
        """Return whether workers have trials, which may come back to be tried again."""
        return bool(self._leased)

    def _add(self, drawn: Sequence[PlannedTrial]) -> None:
        """Take in the trials of a point; those that the store has finished close it at once."""
        self._trials |= {trial.fingerprint: trial for trial in drawn}
        self._ledger.append(self._study, drawn)
        wanted = {trial.fingerprint for trial in drawn}
        self.recover(wanted)
        statuses = {status.fingerprint: status for status in self._ledger.statuses(self._study.name)}
        self._queue.add(drawn, [statuses[trial.fingerprint] for trial in drawn])
        self.show_trials(drawn)
        for fingerprint in wanted:
            self._close_points(statuses[fingerprint])

    def _assign(self, request: Request) -> Assignment:
        trial = request.trial
        dataset = self._datasets[data_key(trial.run.data)]
        run = keep_noise_model(trial.run, self._store.noise_model_folder)
        share_noise_model(self._store, run.objective.noise_model_path)
        cpus, gpus = self._slots.request(trial.run, alone=request.alone)
        attempt = 0 if request.replay else self._ledger.lease(trial.fingerprint, devices=gpus or cpus)
        if not request.replay:
            self._leased.add(trial.fingerprint)
        return Assignment(
            fingerprint=trial.fingerprint,
            attempt=attempt,
            label=trial.label,
            folder=str(self._store.trial_folder(trial.fingerprint)),
            run=run.model_dump(mode="json"),
            tilings=[tiling.model_dump() for tiling in trial.tilings],
            content=dataset.content,
            channel_names=list(dataset.channel_names),
            cpus=cpus,
            gpus=gpus,
            shared=self._store.shared or "",
            repeat_epochs=self._study.stopping is not None,
            replay=request.replay,
        )

    def take(self, fingerprint: str, message: Message) -> None:
        """Book one message of a worker."""
        trial = self._trials[fingerprint]
        if fingerprint not in self._leased:
            return  # a replay, or a message that came after the trial was closed
        kind = message["kind"]
        if kind == "started":
            self._ledger.begin(fingerprint)
            self._tracker.open_trial(trial, {"usplit.host": message["host"]})
        elif kind == "epoch":
            self._count_steps(fingerprint, message["steps"])
            self._tracker.log_epoch(fingerprint)
        elif kind == "evaluation":
            self.evaluated += 1
            self._ledger.store_evaluation(fingerprint, message["key"], message["metrics"])
        elif kind == "finished":
            self._close(trial, "finished", "")
        elif kind == "failed":
            message = self._take_failure(trial, message)
        self.show(fingerprint, message)

    def _count_steps(self, fingerprint: str, steps: int) -> None:
        if steps:
            self._stepped.add(fingerprint)
            self._ledger.count_steps(fingerprint, steps)

    def _take_failure(self, trial: PlannedTrial, message: Message) -> Message:
        """Book a failure, or let the trial try again alone; return the message to show."""
        reason = message["reason"]
        kind = reason.partition(":")[0]
        if kind == "memory" and self._queue.retry_alone(trial):
            self._leased.discard(trial.fingerprint)
            self._ledger.close_attempt(trial.fingerprint, "pending", outcome="failed", reason=reason)
            return {**message, "kind": "retried"}
        self._close(trial, "failed", reason)
        self.stop_reason = self.stop_reason or self._failures.add(kind, reason)
        return message

    def lose(self, fingerprint: str, reason: str) -> None:
        """Book a trial whose worker was lost more often than it is repeated."""
        kind = "memory" if "OutOfMemory" in reason else "lost"
        self.take(fingerprint, {"kind": "failed", "reason": f"{kind}: {reason}"})

    def end(self, fingerprint: str, last: Message) -> None:
        """Book a trial that Ray has ended, after its last message: if not by itself, the stopping rule ended it."""
        if fingerprint not in self._leased or self.stop_reason or last.get("kind") != "epoch":
            return
        self._close(self._trials[fingerprint], "pruned", f"stopped early after epoch {last['epoch']}")
        self.show(fingerprint, {"kind": "pruned", "epoch": last["epoch"]})

    def _close(self, trial: PlannedTrial, state: State, reason: str) -> None:
        self._leased.discard(trial.fingerprint)
        if state in ("finished", "pruned") and trial.fingerprint in self._stepped:
            self._trained.add(trial.fingerprint)
        self._ledger.close_attempt(trial.fingerprint, state, outcome=state, reason=reason)
        folder = self._store.trial_folder(trial.fingerprint)
        self._tracker.sync_trial(trial, folder, state=state, reason=reason)
        if self._points is not None:
            fetch_trials(self._store, [trial.fingerprint])  # its metrics are read there
        self._close_points_of(trial.fingerprint, state)

    def _close_points(self, status: TrialStatus) -> None:
        if not status.is_open:
            self._close_points_of(status.fingerprint, status.state)

    def _close_points_of(self, fingerprint: str, state: State) -> None:
        if self._points is not None and state in ("finished", "pruned", "failed"):
            self._points.close_trial(fingerprint, state, self._store.trial_folder)

    def must_stop(self) -> bool:
        """Return whether running trials are to be ended now."""
        self.stop_reason = self.stop_reason or self._limits.must_end()
        return bool(self.stop_reason)

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
        closed = [s for s in self._ledger.statuses(self._study.name) if s.state in ("finished", "pruned", "failed")]
        seal_trials(self._store, [status.fingerprint for status in closed])
        for status in closed:
            trial, folder = self._trials[status.fingerprint], self._store.trial_folder(status.fingerprint)
            self._tracker.sync_trial(trial, folder, state=status.state, reason=status.reason)
        self._tracker.mark_parts(self._trials.values())
        self._tracker.log_cells(self._trials.values(), self._store.trial_folder)
        self._tracker.end_orphans()
        return interrupted
