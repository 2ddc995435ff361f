"""A study's description of itself, as `study.spec` writes it, turned into the record that analysis works on."""

from collections.abc import Mapping
from typing import Any, cast

from analysis.records import Evaluation, StudyRecord, Trial
from usplit_core.settings import Setting
from usplit_core.vocabulary import HEADLINE


def study_record(
    plan: Mapping[str, Any], *, trials: tuple[Trial, ...], evaluations: tuple[Evaluation, ...], tracking_uri: str
) -> StudyRecord:
    """Return the record of the study that `plan` describes; `plan` is the JSON of the experiment's tag."""
    objective = plan.get("objective", HEADLINE.key)
    objectives = (objective,) if isinstance(objective, str) else tuple(str(key) for key in objective)
    return StudyRecord(
        name=plan["name"],
        question=plan.get("question", ""),
        train=_factors(plan.get("train", {})),
        evaluate=_factors(plan.get("evaluate", {})),
        replicates=tuple(hashable(seed) for seed in plan.get("replicates", ())),
        objective=objectives[0],
        objectives=objectives,
        direction=plan.get("direction", "maximise"),
        trials=trials,
        evaluations=evaluations,
        tracking_uri=tracking_uri,
        plan=plan,
    )


def hashable(value: Any) -> Setting:
    """Return a setting's value as JSON gave it, with tuples for lists."""
    return tuple(hashable(item) for item in value) if isinstance(value, list) else cast(Setting, value)


def _factors(plan: Mapping[str, Any]) -> dict[str, tuple[Setting, ...]]:
    """Return the levels of each factor; one that is sampled from a range has none."""
    return {name: _levels(described) for name, described in plan.items()}


def _levels(described: Any) -> tuple[Setting, ...]:
    # A grid is its levels; other factors say what they are, and have levels unless they are ranges.
    listed = described.get("levels", []) if isinstance(described, Mapping) else described
    return tuple(hashable(level) for level in listed) if isinstance(listed, list) else ()
