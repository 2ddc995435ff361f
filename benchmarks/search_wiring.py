"""Does a search learn from what it is told? TPE beside random draws on a cheap objective, at an equal number of points.

    python -m benchmarks.search_wiring --seeds 10 --trials 60

Nothing is trained. The objective is a made-up validation PSNR over a conditional space of five
settings, one of which varies only where another has a certain value; both samplers draw from it
through the same code as a study does. Prints a markdown table: the best value of each seed.
"""

import argparse
import math
from typing import NamedTuple

from benchmarks.trainings import say
from study.engine.search import SearchSource
from study.engine.sources import PastPoint, best_points
from study.spec import AtMost, Choice, IntRange, LogUniform, Only, Search, Study, Uniform
from study.words.designs import Sampler
from usplit_core.settings import Setting


class Row(NamedTuple):
    """The best values that two samplers found with one seed, in dB."""

    seed: int
    tpe: float
    random: float


def study_of(sampler: Sampler, *, trials: int, seed: int) -> Study:
    """Return a search over five settings."""
    return Study(
        name="search_wiring",
        question="Does a search learn from what it is told?",
        base={"data.path": "none"},
        train={
            "model.architecture": Choice("hvae", "hae"),
            "model.depth": IntRange(2, 6),
            "model.lc_depth": IntRange(0, 5),
            "train.learning_rate": LogUniform(1e-5, 1e-1),
            "objective.free_bits": Uniform(0.0, 4.0),
        },
        design=Search(trials=trials, sampler=sampler, seed=seed),
        conditions=(
            AtMost("model.lc_depth", "model.depth"),
            Only("objective.free_bits", where={"model.architecture": "hvae"}),
        ),
        objective="validation/psnr_db",
    )


def psnr_db(settings: dict[str, Setting]) -> float:
    """Return a made-up PSNR: at most 30 dB, with lc_depth 3 of 5 levels, learning rate 1e-3 and free bits 1."""
    number = {name: float(value) for name, value in settings.items() if isinstance(value, int | float)}
    value = 30 - 3 * (math.log10(number["train.learning_rate"]) + 3) ** 2
    value -= 0.5 * (number["model.lc_depth"] - 3) ** 2 + 0.3 * (number["model.depth"] - 5) ** 2
    return value - ((number["objective.free_bits"] - 1) ** 2 if "objective.free_bits" in number else 1)


def best_of(sampler: Sampler, *, trials: int, seed: int) -> float:
    """Return the best value that a search finds, in dB."""
    study = study_of(sampler, trials=trials, seed=seed)
    source, past = SearchSource(study, []), []
    while (point := source.next_point()) is not None:
        values = (psnr_db(point.settings),)
        source.tell(point.number, values, "finished")
        past.append(PastPoint(point.number, point.settings, "finished", values))
    best = best_points(past, study.directions)[0].values
    return best[0] if best else math.nan


def compare(seeds: int, trials: int) -> list[Row]:
    """Return what TPE and random draws find, one row a seed."""
    return [
        Row(seed, best_of("tpe", trials=trials, seed=seed), best_of("random", trials=trials, seed=seed))
        for seed in range(seeds)
    ]


def table(rows: list[Row]) -> str:
    """Return the rows as a markdown table, with the mean and the number of seeds that TPE wins."""
    lines = ["| seed | TPE (dB) | random (dB) |", "|---|---|---|"]
    lines += [f"| {row.seed} | {row.tpe:.2f} | {row.random:.2f} |" for row in rows]
    tpe, random = (sum(column) / len(rows) for column in list(zip(*rows, strict=True))[1:])
    wins = sum(row.tpe > row.random for row in rows)
    return "\n".join(
        [*lines, f"| mean | {tpe:.2f} | {random:.2f} |", "", f"TPE is better with {wins} of {len(rows)} seeds."]
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="TPE beside random draws on a cheap objective")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    arguments = parser.parse_args()
    say(table(compare(arguments.seeds, arguments.trials)))


if __name__ == "__main__":
    main()
