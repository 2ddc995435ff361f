"""The points of a search: drawn from its source, remembered by the ledger, told what came of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from study.engine.ledger import Ledger
from study.engine.sources import Point, PointState, Source
from study.planning.design import PlannedTrial
from study.spec import Study
from usplit_core.checkpointing import LAST
from usplit_core.resume import read_best_metrics

#: Gives the trials of a point, one a seed.
Expand = Callable[[Point], list[PlannedTrial]]


class Points:
    """Hands out the trials of a search and books what came of each of its points.

    A point is closed when all its seeds are: failed if one of them failed, pruned if one was
    pruned, else finished. Its values are the means over seeds.
    """

    def __init__(self, study: Study, source: Source, ledger: Ledger, expand: Expand) -> None:
        self._study = study
        self._source = source
        self._ledger = ledger
        self._expand = expand
        self._states: dict[int, dict[str, PointState | None]] = {}

    def resume(self, still_open: Sequence[Point]) -> list[PlannedTrial]:
        """Take up the points that an earlier launch left open; return their trials."""
        return [trial for point in still_open for trial in self._begin(point)]

    @property
    def left(self) -> int:
        """How many points are still to be drawn."""
        return self._source.left

    def draw(self) -> list[PlannedTrial] | None:
        """Draw the next point, or all of a generation, and return the trials; None where there are none now."""
        trials: dict[str, PlannedTrial] = {}
        while (point := self._source.next_point()) is not None:
            self._ledger.add_point(self._study.name, point)
            trials |= {trial.fingerprint: trial for trial in self._begin(point)}
            if not self._source.draws_all:
                break
        return list(trials.values()) or None

    def _begin(self, point: Point) -> list[PlannedTrial]:
        trials = self._expand(point)
        self._states[point.number] = dict.fromkeys((trial.fingerprint for trial in trials), None)
        return trials

    def close_trial(self, fingerprint: str, state: PointState, folder_of: Callable[[str], Path]) -> None:
        """Note how a trial ended; close the points that waited for it."""
        for number, states in list(self._states.items()):
            if fingerprint not in states:
                continue
            states[fingerprint] = state
            ended = [state for state in states.values() if state is not None]
            if len(ended) == len(states):
                self._close(number, ended, [folder_of(identity) for identity in states])

    def _close(self, number: int, ended: Sequence[PointState], folders: Sequence[Path]) -> None:
        del self._states[number]
        state: PointState = next((state for state in ("failed", "pruned") if state in ended), "finished")
        values = None if state == "failed" else self._values(folders)
        if values is None:
            state = "failed"
        self._ledger.close_point(self._study.name, number, state, values)
        self._source.tell(number, values, state)

    def _values(self, folders: Sequence[Path]) -> tuple[float, ...] | None:
        """Return the mean over seeds of each objective, or None where a trial did not report it."""
        found = [read_best_metrics(folder / LAST) for folder in folders]
        if any(key not in metrics for metrics in found for key in self._study.objectives):
            return None
        return tuple(sum(metrics[key] for metrics in found) / len(found) for key in self._study.objectives)
