"""What came of a study, as typed rows; read from the ledger and the trial folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from study.engine.ledger import State, TrialStatus
from study.engine.trial_folder import read_evaluation
from study.planning.design import PlannedTrial
from study.spec import Study
from study.store import Store
from usplit_core.checkpointing import BEST, LAST
from usplit_core.resume import read_best_metrics
from usplit_core.settings import Setting, flatten
from usplit_core.training import read_history
from usplit_core.vocabulary import METRICS


class TrialRow(NamedTuple):
    """One training.

    Attributes
    ----------
    settings
        Every setting by dotted name, but those of the tiling.
    metrics
        Of the best epoch, and the cost, by the keys of the vocabulary.
    model
        File to predict with; None where there is none.
    """

    fingerprint: str
    label: str
    state: State
    reason: str
    settings: dict[str, Setting]
    metrics: dict[str, float]
    epochs_run: int
    model: Path | None


class EvaluationRow(NamedTuple):
    """The weights of one training under one tiling.

    Attributes
    ----------
    settings
        Every setting by dotted name, the tiling's included.
    metrics
        Means over frames, by the keys of the vocabulary; a key that ends in ``/N`` is of structure channel N.
    frames
        The scores of each frame and structure channel.
    """

    fingerprint: str
    label: str
    settings: dict[str, Setting]
    metrics: dict[str, float]
    frames: list[dict[str, Any]]
    model: Path


class StudyResult(NamedTuple):
    """What came of a study.

    Attributes
    ----------
    complete
        Whether nothing is left to compute; failed trials count as left.
    stop_reason
        Why it stopped before it was complete, where it says so.
    trained, evaluated
        What this launch computed; 0 where everything was there.
    objectives
        Keys of the metrics that decide, the first one first.
    """

    name: str
    complete: bool
    stop_reason: str
    trained: int
    evaluated: int
    objectives: tuple[str, ...]
    trials: list[TrialRow]
    evaluations: list[EvaluationRow]

    @property
    def best(self) -> EvaluationRow | TrialRow | None:
        """The row with the best first objective: an evaluation for ``test/…``, else a finished trial."""
        key = self.objectives[0]
        rows: list[EvaluationRow | TrialRow] = [row for row in self.evaluations if key in row.metrics]
        rows = rows or [row for row in self.trials if key in row.metrics and row.state == "finished"]
        sign = -1 if METRICS[key].better == "lower" else 1
        return max(rows, key=lambda row: sign * row.metrics[key], default=None)

    def table(self) -> list[dict[str, Any]]:
        """Return one flat row an evaluation: label, settings, metrics; fit for ``pandas.DataFrame``."""
        return [{"label": row.label, **row.settings, **row.metrics} for row in self.evaluations]


def trial_rows(store: Store, trials: Sequence[PlannedTrial], statuses: Sequence[TrialStatus]) -> list[TrialRow]:
    """Return the trials of a study in their order."""
    known = {status.fingerprint: status for status in statuses}
    rows = []
    for trial in trials:
        folder, status = store.trial_folder(trial.fingerprint), known[trial.fingerprint]
        rows.append(
            TrialRow(
                fingerprint=trial.fingerprint,
                label=trial.label,
                state=status.state,
                reason=status.reason,
                settings={k: v for k, v in flatten(trial.run).items() if not k.startswith("tiling.")},
                metrics=read_best_metrics(folder / LAST),
                epochs_run=len(read_history(folder)),
                model=folder / BEST if (folder / BEST).exists() else None,
            )
        )
    return rows


def evaluation_rows(store: Store, trials: Sequence[PlannedTrial]) -> list[EvaluationRow]:
    """Return the evaluations of a study that have been computed, in their order."""
    rows = []
    for trial in trials:
        folder = store.trial_folder(trial.fingerprint)
        for key, tiling in zip(trial.evaluation_keys, trial.tilings, strict=True):
            scores = read_evaluation(folder, key)
            if scores is not None:
                settings = flatten(trial.run.model_copy(update={"tiling": tiling}))
                metrics, frames = scores["metrics"], scores["frames"]
                rows.append(
                    EvaluationRow(trial.fingerprint, f"{trial.label} {key}", settings, metrics, frames, folder / BEST)
                )
    return rows


def result_of(study: Study, store: Store, trials: Sequence[PlannedTrial], outcome: Any) -> StudyResult:
    """Return the rows of a study after a launch.

    Parameters
    ----------
    study, store, trials
        What was run, where, and the trials of it.
    outcome
        What `study.engine.runner.run_study` returned.
    """
    return StudyResult(
        name=study.name,
        complete=not any(status.is_open for status in outcome.statuses) and not outcome.interrupted,
        stop_reason=outcome.stop_reason,
        trained=outcome.trained,
        evaluated=outcome.evaluated,
        objectives=study.objectives,
        trials=trial_rows(store, trials, outcome.statuses),
        evaluations=evaluation_rows(store, trials),
    )
