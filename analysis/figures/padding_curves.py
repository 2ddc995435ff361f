"""Score on the test frames against the padding of the tiles, inner beside outer tiling."""

from analysis.figures import panels
from analysis.figures.panels import Panels, Wanted
from analysis.records import StudyRecord
from analysis.selection import evaluation_factors, headline, levels, require_evaluations, train_factors
from usplit_core.vocabulary import Metric

TITLE = "Tile padding"
_FACTOR = "tiling.padding_px"
_MODE = "tiling.mode"

draw = panels.draw
size_mm = panels.size_mm


def data(record: StudyRecord) -> Panels:
    """Return the scores by padding, a panel a tiling mode, a curve a combination of the other factors.

    Raises
    ------
    NotVaried
        If fewer than two paddings were evaluated.
    MissingRuns
        If nothing was evaluated.
    """
    return by_padding(record, headline(record))


def by_padding(record: StudyRecord, metric: Metric) -> Panels:
    """Return the values of a metric by padding; see `data`."""
    require_evaluations(record)
    panels.require_levels(record, _FACTOR)
    others = [name for name in evaluation_factors(record) if name not in (_FACTOR, _MODE)]
    wanted = [Wanted(_FACTOR, {_MODE: mode}, f"{mode} tiling") for mode in levels(record, _MODE)]
    return panels.panels_of(record, metric, wanted, [*train_factors(record), *others])


def caption(data: Panels) -> str:
    """Say what is seen."""
    return f"{panels.caption(data)} Inner tiling keeps the centre of each patch, outer tiling enlarges the input."
