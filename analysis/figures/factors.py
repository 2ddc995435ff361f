"""Score on the test frames against each train factor of the study, one panel a factor."""

from analysis.figures import panels
from analysis.figures.panels import Panels
from analysis.records import NotVaried, StudyRecord
from analysis.selection import how_to_add, is_sampled
from analysis.tasks import network_factors

TITLE = "Other train factors"
_ELSEWHERE = ("model.lc_depth", "model.depth", "model.patch_px")

draw = panels.draw
caption = panels.caption
size_mm = panels.size_mm


def data(record: StudyRecord) -> Panels:
    """Return a panel for each train factor that varies, but those that have a figure of their own, and the images.

    Raises
    ------
    NotVaried
        If no such factor varies.
    """
    drawn = [name for name in network_factors(record) if is_sampled(record, name)]
    # Beside drawn values, a level stands for many trainings that differ in more than the seed: it is a curve only.
    names = drawn or [name for name in network_factors(record) if name not in _ELSEWHERE]
    if not names:
        raise NotVaried(
            how_to_add(record, f"a train factor other than the images, {', '.join(_ELSEWHERE)}", kind="train")
        )
    return panels.scores_by(record, names)
