"""Score on the test frames against the number of levels of the network."""

from matplotlib.figure import Figure

from analysis.figures import factors
from analysis.figures.factors import FactorPanels
from analysis.records import NotVaried, StudyRecord
from analysis.selection import how_to_add, train_factors

TITLE = "Levels of the network"
_FACTOR = "model.depth"


def data(record: StudyRecord) -> FactorPanels:
    """Return the scores by number of levels, a curve a combination of the other train factors.

    Raises
    ------
    NotVaried
        If fewer than two depths were trained.
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
    return f"{factors.caption(data)} Levels: of latents (HVAE, HAE), or down levels (U-Net, BraveNet)."


def size_mm(data: FactorPanels) -> tuple[float, float]:
    """Return width and height."""
    return factors.size_mm(data)
