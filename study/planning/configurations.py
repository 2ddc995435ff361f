"""The configurations of a study: trials that take the same, what is there of them and what they take.

Trials are one configuration where networks, schedules and images have the same sizes, whatever else differs.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from study.planning.datasets import DataKey, Dataset, data_key
from study.planning.design import PlannedTrial, label
from study.planning.fingerprint import identities
from study.planning.forecast import Rate
from study.planning.known import Known
from study.planning.sizing import Size
from study.planning.workload import PartShapes, TrainingWork, evaluation_passes, part_shapes, training_work
from study.spec import Population, Study, evaluation_runs, train_runs
from usplit_core.config import DataConfig, RunConfig
from usplit_core.cost import cost_key

#: Of a search, as many points are looked at: they show the ranges.
SAMPLED_POINTS = 16


class Group(NamedTuple):
    """Trials that take the same, and the shapes of what they are trained and scored on."""

    trials: tuple[PlannedTrial, ...]
    parts: PartShapes

    @property
    def run(self) -> RunConfig:
        """The run that stands for all."""
        return self.trials[0].run


class Configuration(NamedTuple):
    """A group with what is there of it and what it takes; seconds are of one trial, None where nobody measured."""

    label: str
    run: RunConfig
    states: dict[str, int]
    """Number of trials by what is there: new, resumable, finished, pruned, failed."""
    evaluations: int
    evaluations_done: int
    evaluations_to_do: int
    work: TrainingWork
    size: Size
    rate: Rate
    train_seconds: float | None
    evaluation_seconds: float | None
    """Of one evaluation."""

    @property
    def trials(self) -> int:
        """All trials."""
        return sum(self.states.values())

    @property
    def to_train(self) -> int:
        """Trials that are to be trained, or trained to their end."""
        return self.trials - self.states.get("finished", 0) - self.states.get("pruned", 0)

    @property
    def seconds_to_do(self) -> float | None:
        """What is left of all its trials, those that can go on counted as if they began."""
        if not self.to_train and not self.evaluations_to_do:
            return 0.0
        if self.train_seconds is None or self.evaluation_seconds is None:
            return None
        return self.to_train * self.train_seconds + self.evaluations_to_do * self.evaluation_seconds


def sample_of_search(study: Study, content_of: Callable[[DataConfig], str]) -> list[PlannedTrial]:
    """Return the trials of points that a search might draw; of a population, as many of each generation."""
    found: dict[str, PlannedTrial] = {}
    design = study.design
    generations = design.generations if isinstance(design, Population) else 1
    points = math.ceil(SAMPLED_POINTS / generations) * generations
    for number, run in enumerate(islice(train_runs(study), points * len(study.seeds))):
        tilings = tuple(evaluation.tiling for evaluation in evaluation_runs(study, run))
        # Only the last generation is evaluated.
        evaluated = tilings if number % generations == generations - 1 else ()
        trial = PlannedTrial(*identities(run, content_of(run.data)), label(study, run), run, evaluated)
        found[trial.fingerprint] = trial
    return list(found.values())


def group(trials: Iterable[PlannedTrial], datasets: Mapping[DataKey, Dataset]) -> list[Group]:
    """Put together the trials that take the same, in the order of the study."""
    groups: dict[object, list[PlannedTrial]] = {}
    shapes: dict[DataConfig, PartShapes] = {}
    for trial in trials:
        data = trial.run.data
        dataset = datasets[data_key(data)]
        if data not in shapes:
            shapes[data] = part_shapes(dataset.outline.shape, data)
        work = training_work(trial.run, shapes[data])
        what = (cost_key(trial.run), work, shapes[data], dataset.content, trial.tilings)
        groups.setdefault(what, []).append(trial)
    return [Group(tuple(found), shapes[found[0].run.data]) for found in groups.values()]


def describe(found: Group, known: Mapping[str, Known], rate: Rate, size: Size) -> Configuration:
    """Return a group with what is there of it and what it takes."""
    run, tilings = found.run, found.trials[0].tilings
    there = [known[trial.fingerprint] for trial in found.trials]
    work, pace = training_work(run, found.parts), rate.seconds_per_pass
    passes = evaluation_passes(run, tilings, found.parts) / max(1, len(tilings))
    return Configuration(
        label=_common_label([trial.label for trial in found.trials]),
        run=run,
        states=dict(Counter(one.state for one in there)),
        evaluations=len(there) * len(tilings),
        evaluations_done=sum(len(one.evaluations) for one in there),
        evaluations_to_do=sum(len(tilings) - len(one.evaluations) for one in there if one.state != "pruned"),
        work=work,
        size=size,
        rate=rate,
        train_seconds=None if pace is None else pace * work.passes,
        evaluation_seconds=None if pace is None else pace * passes,
    )


def _common_label(labels: Sequence[str]) -> str:
    """Return the words that all labels share: neither the seed nor what makes no difference to the cost."""
    words = labels[0].split()
    others = [set(text.split()) for text in labels[1:]]
    return " ".join(word for word in words if not word.startswith("seed") and all(word in other for other in others))
