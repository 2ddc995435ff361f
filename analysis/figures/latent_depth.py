"""Score on the test frames against the number of levels of the network."""

from analysis.figures import panels
from analysis.figures.panels import Panels
from analysis.records import StudyRecord

TITLE = "Levels of the network"

draw = panels.draw
size_mm = panels.size_mm


def data(record: StudyRecord) -> Panels:
    """Return the scores by number of levels; see `analysis.figures.panels.scores_by`."""
    return panels.scores_by(record, ["model.depth"])


def caption(data: Panels) -> str:
    """Say what is seen."""
    return f"{panels.caption(data)} Levels: of latents (HVAE, HAE), or down levels (U-Net, BraveNet)."
