"""The best model of a study, under the name of the study in the model registry."""

from collections.abc import Sequence

from analysis.records import StudyRecord
from study.commands.best import best_evaluation
from study.planning.design import PlannedTrial
from study.planning.fingerprint import evaluation_key
from study.store import Store
from study.tracking.registry import Champion, register


def register_best(record: StudyRecord, trials: Sequence[PlannedTrial], store: Store) -> str | None:
    """Register the model of the best evaluation; return its address, or None where nothing has been evaluated.

    Raises
    ------
    StoreError
        If the tracking store cannot be used, or lacks the model.
    """
    found = best_evaluation(record)
    if found is None:
        return None
    evaluation, tiling = found
    label = next(trial.label for trial in trials if trial.fingerprint == evaluation.trial)
    score = evaluation.metrics[record.objective]
    return register(
        store, record.name, Champion(evaluation.trial, label, record.objective, score, evaluation_key(tiling))
    )
