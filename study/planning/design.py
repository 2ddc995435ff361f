"""From factors to trials to evaluations: one training for each distinct train configuration."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from study.planning.fingerprint import evaluation_key, identities
from study.spec import Population, Study, evaluation_runs, runs_of_point, train_points
from study.words.designs import Design
from usplit_core.config import DataConfig, RunConfig, TilingConfig
from usplit_core.settings import Setting

#: Gives the content hash of the frames that a data section names.
ContentOf = Callable[[DataConfig], str]

#: Settings that every label has, whether they vary or not.
_SHOWN = frozenset({"model.architecture", "model.variant", "model.lc_depth", "model.patch_px"})


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


def plan_trials(study: Study, content_of: ContentOf) -> list[PlannedTrial]:
    """Return the trials of a study, each once, in the order of its factors; of a search, none: it draws them later.

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
    for point in train_points(study):
        for trial in trials_of_point(study, point, content_of):
            trials.setdefault(trial.fingerprint, trial)
    return list(trials.values())


def trials_of_point(study: Study, point: Mapping[str, Setting], content_of: ContentOf) -> list[PlannedTrial]:
    """Return the trials of one combination of train factors, one a seed.

    Raises
    ------
    ConfigError
        If the combination is no legal run.
    """
    runs = runs_of_point(study, point)
    if study.stopping is not None:
        runs = [_keeping_each_epoch(run) for run in runs]
    content = content_of(runs[0].data)
    # A tiling depends on the network, not on the seed.
    tilings = tuple(evaluation.tiling for evaluation in evaluation_runs(study, runs[0]))
    return [PlannedTrial(*identities(run, content), label(study, run), run, tilings) for run in runs]


def _keeping_each_epoch(run: RunConfig) -> RunConfig:
    """Return a run that leaves its files after each epoch: a stopping rule may end it at any, without notice."""
    return run.model_copy(update={"train": run.train.model_copy(update={"checkpoint_every_epochs": 1})})


def in_generation(trials: Sequence[PlannedTrial], number: int, design: Design) -> list[PlannedTrial]:
    """Return the trials of a point as its number says: of a population, only the last generation is evaluated."""
    if not isinstance(design, Population):
        return list(trials)
    generation = design.generation(number) + 1
    last = generation == design.generations
    return [
        trial._replace(label=f"{trial.label} generation{generation}", tilings=trial.tilings if last else ())
        for trial in trials
    ]


def label(study: Study, run: RunConfig) -> str:
    """Return a name that a person can read: ``regular lc2 P64 seed1`` and what else the study varies."""
    model = run.model
    parts = [model.variant, f"lc{model.lc_depth}", f"P{model.patch_px}"]
    if model.architecture != "hvae":
        parts.insert(0, model.architecture)
    parts += [f"{name.partition('.')[2]}={_short(attrgetter(name)(run))}" for name in study.train if name not in _SHOWN]
    return " ".join([*parts, f"seed{run.train.seed}"])


def _short(value: Setting) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
