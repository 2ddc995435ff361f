"""Score on the test frames against the number of lateral-context inputs."""

from analysis.figures import panels
from analysis.figures.panels import Panels
from analysis.records import StudyRecord

TITLE = "Lateral context"

draw = panels.draw
size_mm = panels.size_mm


def data(record: StudyRecord) -> Panels:
    """Return the scores by LC depth; see `analysis.figures.panels.scores_by`."""
    return panels.scores_by(record, ["model.lc_depth"])


def caption(data: Panels) -> str:
    """Say what is seen."""
    return f"{panels.caption(data)} LC depth 0 is the network without lateral context."
