"""How visible the seams of tiles are against their padding, inner beside outer tiling."""

from matplotlib.figure import Figure

from analysis.figures import padding_curves, panels
from analysis.figures.panels import Panels
from analysis.records import StudyRecord
from analysis.style import FAINT
from usplit_core.vocabulary import METRICS

TITLE = "Seams between tiles"

size_mm = panels.size_mm


def data(record: StudyRecord) -> Panels:
    """Return the seam scores by padding; raises as `analysis.figures.padding_curves.data`."""
    return padding_curves.by_padding(record, METRICS["test/seam_gradient_ratio"])


def draw(data: Panels, figure: Figure) -> None:
    """Draw a panel a tiling mode, with a line at 1, where no seam is seen."""
    panels.draw(data, figure)
    for ax in figure.axes:
        ax.axhline(1, color=FAINT, linewidth=0.8, linestyle=":", zorder=1)


def caption(data: Panels) -> str:
    """Say what is seen."""
    return (
        "Mean difference of neighbouring pixels across the seams of tiles, over that inside tiles, in predictions of "
        f"the test frames; at 1 (dotted) no seam is seen. {panels.how_drawn(data)}"
    )
