"""How visible the seams of tiles are against their padding, inner beside outer tiling."""

from matplotlib.figure import Figure

from analysis.figures import padding_curves
from analysis.figures.curves import what_bars_mean, what_is_missing
from analysis.figures.padding_curves import PaddingCurves
from analysis.records import NotVaried, StudyRecord
from analysis.selection import evaluation_factors, require_evaluations
from analysis.style import FAINT
from usplit_core.vocabulary import METRICS

TITLE = "Seams between tiles"


def data(record: StudyRecord) -> PaddingCurves:
    """Return the seam scores by padding, a panel a tiling mode, a curve a combination of the other factors.

    Raises
    ------
    NotVaried
        If the padding does not vary.
    MissingRuns
        If nothing was evaluated.
    """
    require_evaluations(record)
    if "tiling.padding_px" not in evaluation_factors(record):
        raise NotVaried("The study does not vary tiling.padding_px.")
    return padding_curves.curves_of(record, METRICS["test/seam_gradient_ratio"])


def draw(data: PaddingCurves, figure: Figure) -> None:
    """Draw a panel a tiling mode, with a line at 1, where no seam is seen."""
    padding_curves.draw(data, figure)
    for ax in figure.axes:
        ax.axhline(1, color=FAINT, linewidth=0.8, linestyle=":", zorder=1)


def caption(data: PaddingCurves) -> str:
    """Say what is seen."""
    every = [curve for panel in data.panels for curve in panel.curves]
    text = (
        "Mean difference of neighbouring pixels across the seams of tiles, over that inside tiles, in predictions of "
        f"the test frames; at 1 (dotted) no seam is seen. {what_bars_mean(every)}"
    )
    return text + what_is_missing(data.left_out, data.unfinished)


def size_mm(data: PaddingCurves) -> tuple[float, float]:
    """Return width and height: those of the figure of the scores."""
    return padding_curves.size_mm(data)
