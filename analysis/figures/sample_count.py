"""Score on the test frames against the number of posterior samples that are averaged."""

from analysis.figures import panels
from analysis.figures.panels import Panels
from analysis.records import StudyRecord

TITLE = "Posterior samples"

draw = panels.draw
size_mm = panels.size_mm


def data(record: StudyRecord) -> Panels:
    """Return the scores by number of samples; see `analysis.figures.panels.scores_by`."""
    return panels.scores_by(record, ["tiling.samples"])


def caption(data: Panels) -> str:
    """Say what is seen."""
    return f"{panels.caption(data)} A prediction is the mean of that many posterior samples."
