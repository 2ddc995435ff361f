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
    label = next(trial.label for trial in trials if trial.fingerprint == found.evaluation.trial)
    champion = Champion(found.evaluation.trial, label, record.objective, found.score, evaluation_key(found.tiling))
    return register(store, record.name, champion)
