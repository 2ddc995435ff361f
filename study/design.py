"""From factors to trials to evaluations: one training for each distinct train configuration."""

from collections.abc import Callable
from typing import NamedTuple

from study.fingerprint import cell, evaluation_key, fingerprint
from study.spec import Study, evaluation_runs, train_runs
from usplit_core.config import DataConfig, RunConfig, TilingConfig


class PlannedTrial(NamedTuple):
    """One training and the tilings under which its weights are evaluated."""

    fingerprint: str
    cell: str
    label: str
    run: RunConfig
    tilings: tuple[TilingConfig, ...]

    @property
    def evaluation_keys(self) -> tuple[str, ...]:
        """The names of the evaluations, in the order of `tilings`."""
        return tuple(evaluation_key(tiling) for tiling in self.tilings)


def plan_trials(study: Study, content_of: Callable[[DataConfig], str]) -> list[PlannedTrial]:
    """Return the trials of a study, each once, in the order of its factors.

    Parameters
    ----------
    study
        What is asked.
    content_of
        Gives the content hash of the frames that a data section names.

    Raises
    ------
    ConfigError
        If a combination of levels is no legal run.
    """
    trials: dict[str, PlannedTrial] = {}
    for run in train_runs(study):
        content = content_of(run.data)
        identity = fingerprint(run, content)
        tilings = tuple(evaluation.tiling for evaluation in evaluation_runs(study, run))
        trials.setdefault(identity, PlannedTrial(identity, cell(run, content), label(study, run), run, tilings))
    return list(trials.values())


def label(study: Study, run: RunConfig) -> str:
    """Return a name that a person can read: ``regular lc2 P64 seed1`` and what else the study varies."""
    model = run.model
    parts = [model.variant, f"lc{model.lc_depth}", f"P{model.patch_px}"]
    if model.architecture != "hvae":
        parts.insert(0, model.architecture)
    shown = {"model.architecture", "model.variant", "model.lc_depth", "model.patch_px"}
    dump = run.model_dump()
    for name in study.train:
        if name not in shown:
            section, _, field = name.partition(".")
            parts.append(f"{field}={dump[section][field]}")
    return " ".join([*parts, f"seed{run.train.seed}"])
