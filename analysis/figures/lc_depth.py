"""Score on the test frames against the number of lateral-context inputs."""

from matplotlib.figure import Figure

from analysis.figures import factors
from analysis.figures.factors import FactorPanels
from analysis.records import NotVaried, StudyRecord
from analysis.selection import how_to_add, train_factors

TITLE = "Lateral context"
_FACTOR = "model.lc_depth"


def data(record: StudyRecord) -> FactorPanels:
    """Return the scores by LC depth, a curve a combination of the other train factors.

    Raises
    ------
    NotVaried
        If fewer than two LC depths were trained.
    MissingRuns
        If none was evaluated.
    """
    if _FACTOR not in train_factors(record):
        raise NotVaried(how_to_add(record, _FACTOR, kind="train"))
    return factors.panels_of(record, [_FACTOR])


def draw(data: FactorPanels, figure: Figure) -> None:
    """Draw the one panel."""
    factors.draw(data, figure)


def caption(data: FactorPanels) -> str:
    """Say what is seen."""
    return f"{factors.caption(data)} LC depth 0 is the network without lateral context."


def size_mm(data: FactorPanels) -> tuple[float, float]:
    """Return width and height."""
    return factors.size_mm(data)
