"""What a study would take before it is run: trials, memory, time and space (`usplit plan`)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from study.errors import ResourceError, StoreError
from study.planning.configurations import Configuration, describe, group, sample_of_search
from study.planning.datasets import DataKey, Dataset, data_key
from study.planning.design import PlannedTrial
from study.planning.forecast import rates_of, wall_seconds
from study.planning.known import known_trials, timings
from study.planning.machine import Machine, free_bytes
from study.planning.probe import ProbePlace, probe
from study.planning.sizing import costs_of, size_of
from study.spec import Study, left_out
from study.store import Store
from study.words.designs import Adaptive
from usplit_core.cost import cost_key

#: A study that takes longer is worth a second thought.
_LONG_SECONDS = 24 * 3600.0
#: Scores, and a sample of the prediction, of one evaluation; in the trial's folder and in the tracking store.
_EVALUATION_BYTES = 4_000_000
#: Weights and two numbers of the optimiser for each, the best weights, and their copy in the tracking store.
_CHECKPOINT_BYTES_A_PARAMETER = 4 * 5


class Totals(NamedTuple):
    """Sums over a study; times are None where a configuration has not been measured."""

    trials: int
    to_train: int
    evaluations: int
    evaluations_to_do: int
    steps: int
    wall_seconds: float | None
    device_hours: float | None
    disk_bytes: int


class Plan(NamedTuple):
    """What a study would take on one machine."""

    study: Study
    configurations: tuple[Configuration, ...]
    totals: Totals
    left_out: tuple[tuple[str, int], ...]
    """Reason of a constraint, and how many combinations it removed."""
    sampled: int
    """Trials of a search that were looked at; 0 of a design, whose trials are all there."""
    place: ProbePlace
    machine: Machine
    parallel: int
    """Trials at a time."""
    free_bytes: int


class PlanInput(NamedTuple):
    """A study that has been checked, and where it would run."""

    study: Study
    trials: Sequence[PlannedTrial]
    datasets: Mapping[DataKey, Dataset]
    store: Store
    machine: Machine


def build_plan(given: PlanInput, *, probing: bool = False) -> Plan:
    """Work out what a study would take; nothing is computed but what `probing` measures.

    Parameters
    ----------
    given
        The study with its trials, none where it is a search, and the machine.
    probing
        Take a few training steps of each network that has not been measured.

    Raises
    ------
    UserError
        If a newer version wrote the store.
    """
    study, datasets = given.study, given.datasets
    draws = study.design.trials * len(study.seeds) if isinstance(study.design, Adaptive) else None
    trials = given.trials
    if draws is not None:
        trials = sample_of_search(study, lambda data: datasets[data_key(data)].content)
    place = _place(given)
    groups = group(trials, datasets)
    runs = [one.run for one in groups]
    if probing:
        probe(runs, place)
    shapes = {dataset.content: dataset.outline.shape for dataset in datasets.values()}
    rates = rates_of(runs, place, timings(given.store, place, shapes))
    costs, known = costs_of(runs), known_trials(given.store, trials)
    configurations = []
    for one in groups:
        rate, cost = rates[cost_key(one.run)], costs[cost_key(one.run)]
        dataset = datasets[data_key(one.run.data)]
        size = size_of(one.run, cost, parts=one.parts, dataset=dataset, rate=rate, machine=given.machine)
        configurations.append(describe(one, known, rate, size))
    parallel = _parallel(study, configurations, given.machine)
    return Plan(
        study=study,
        configurations=tuple(configurations),
        totals=_totals(study, configurations, parallel, None if draws is None else draws / len(trials)),
        left_out=tuple(left_out(study)),
        sampled=0 if draws is None else len(trials),
        place=place,
        machine=given.machine,
        parallel=parallel,
        free_bytes=free_bytes(given.store.root),
    )


def refuse(plan: Plan) -> None:
    """Refuse a study that cannot run here, before anything is started.

    Raises
    ------
    ResourceError
        If a trial asks for more cores or GPUs than the machine has.
    StoreError
        If there is no space for its checkpoints.
    """
    resources, machine = plan.study.resources, plan.machine
    gpus = resources.gpus or 0.0
    if resources.cpus > machine.cpus or gpus > machine.gpus:
        raise ResourceError(
            f"a trial asks for {resources.cpus} CPUs and {gpus:g} GPUs, but this machine has {machine.cpus} CPUs and "
            f"{machine.gpus} GPUs: lower resources"
        )
    if plan.totals.disk_bytes > plan.free_bytes:
        raise StoreError(
            f"the study writes about {plan.totals.disk_bytes / 1e9:.3g} GB, and {plan.free_bytes / 1e9:.3g} GB are "
            f"free in {plan.place.folder.parent}: make room, or use another --store"
        )


def warnings(plan: Plan) -> list[str]:
    """Return what a user should know before the study is begun, one sentence each; empty if all is well."""
    found = [f"{one.label} {one.size.problem}" for one in plan.configurations if one.size.problem and _is_open(one)]
    found += _memory_together(plan)
    totals = plan.totals
    if totals.wall_seconds is not None and totals.wall_seconds >= _LONG_SECONDS:
        found.append(
            f"the study will take about {totals.wall_seconds / 86400:.1f} days with {plan.parallel} trials at a time: "
            "fewer levels or replicates, train.epochs, or train.precision = bfloat16 make it shorter"
        )
    found += _beyond_budget(plan)
    missing = sum(one.size.cost is None for one in plan.configurations)
    if missing:
        found.append(f"{missing} networks have not been worked out yet: plan again to go on with them")
    return found


def _beyond_budget(plan: Plan) -> list[str]:
    """Say which limit will end the study before everything is computed."""
    budget, totals = plan.study.budget, plan.totals
    wall_hours = None if totals.wall_seconds is None else totals.wall_seconds / 3600
    planned = {
        "wall_hours": wall_hours,
        "device_hours": totals.device_hours,
        "steps": totals.steps,
        "trainings": totals.to_train,
    }
    return [
        f"budget.{name} = {limit:g} will end the study before all is computed, which takes about {number:.3g}"
        for name, number in planned.items()
        if (limit := getattr(budget, name)) is not None and number is not None and number > limit
    ]


def _memory_together(plan: Plan) -> list[str]:
    """Say where trials that fit alone do not fit beside each other in the memory of the machine."""
    sizes = [one.size for one in plan.configurations if _is_open(one) and not one.size.on_gpu]
    largest = max((size.total_bytes or 0 for size in sizes), default=0)
    own = max((size.own_bytes or 0 for size in sizes), default=0)
    shared = max((size.shared_bytes for size in sizes), default=0)
    together = min(plan.parallel, plan.totals.to_train) * own + shared
    if largest <= plan.machine.memory_bytes < together:
        return [
            f"{plan.parallel} trials at a time may need {together / 1e9:.3g} GB, and this machine has "
            f"{plan.machine.memory_bytes / 1e9:.3g} GB: raise resources.cpus, so that fewer run side by side"
        ]
    return []


def _is_open(one: Configuration) -> bool:
    return bool(one.to_train or one.evaluations_to_do)


def _place(given: PlanInput) -> ProbePlace:
    gpus = given.study.resources.gpus
    device = "cuda" if given.machine.gpus and (gpus is None or gpus > 0) else "cpu"
    return ProbePlace(device, given.study.resources.cpus, given.store.root / "probes")


def _parallel(study: Study, configurations: Sequence[Configuration], machine: Machine) -> int:
    """Return how many trials run side by side, by cores and GPUs."""
    by_cpus = machine.cpus // study.resources.cpus
    share = max(one.size.gpus(study.resources) for one in configurations)
    return max(1, min(by_cpus, int(machine.gpus / share) if share else by_cpus))


def _totals(study: Study, configurations: Sequence[Configuration], parallel: int, draws: float | None) -> Totals:
    """Add up; `draws` is how many trials a search will draw for each that was looked at."""
    scale = 1.0 if draws is None else draws

    def total(numbers: Iterable[float]) -> int:
        return round(scale * sum(numbers))

    wall, device_hours = _times(study, configurations, parallel, draws)
    return Totals(
        trials=total(one.trials for one in configurations),
        to_train=total(one.to_train for one in configurations),
        evaluations=total(one.evaluations for one in configurations),
        evaluations_to_do=total(one.evaluations_to_do for one in configurations),
        steps=total(one.to_train * one.work.steps for one in configurations),
        wall_seconds=wall,
        device_hours=device_hours,
        disk_bytes=total(map(_disk_bytes, configurations)),
    )


def _times(
    study: Study, configurations: Sequence[Configuration], parallel: int, draws: float | None
) -> tuple[float | None, float | None]:
    """Return the seconds that pass, and the hours of cores or GPUs; None where a time is not known."""
    busy, device_seconds = [], 0.0
    for one in configurations:
        seconds = one.seconds_to_do
        if seconds is None:
            return None, None
        trials = one.to_train or min(one.trials, one.evaluations_to_do)
        busy.append((seconds / max(1, trials), trials))
        device_seconds += seconds * (one.size.gpus(study.resources) or study.resources.cpus)
    if draws is None:
        return wall_seconds(busy, parallel), device_seconds / 3600
    return draws * sum(seconds * trials for seconds, trials in busy) / parallel, draws * device_seconds / 3600


def _disk_bytes(one: Configuration) -> int:
    parameters = 0 if one.size.cost is None else one.size.cost.parameters
    return one.to_train * _CHECKPOINT_BYTES_A_PARAMETER * parameters + one.evaluations_to_do * _EVALUATION_BYTES
