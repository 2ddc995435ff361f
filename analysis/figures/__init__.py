"""One file a figure: `data` makes a tuple out of a study, `draw` puts it on a figure, `caption` says what is seen.

A figure whose runs are missing is not an error: its result says which runs, and how to get them.
"""

from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from matplotlib.figure import Figure

from analysis.figures import (
    calibration,
    context,
    factor_importance,
    factors,
    kl_levels,
    latent_depth,
    lc_depth,
    lc_gain,
    learning_curves,
    memory,
    optimisation,
    overview,
    padding_curves,
    parallel,
    pareto,
    patch_size,
    qualitative,
    sample_count,
    seams,
)
from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.style import draw_and_save


class FigureModule(Protocol):
    """What a file of this folder offers."""

    TITLE: str

    def data(self, record: StudyRecord) -> Any:
        """Return all that the figure shows; raise `MissingRuns` where the study lacks it."""

    def draw(self, data: Any, figure: Figure) -> None:
        """Put it on `figure`."""

    def caption(self, data: Any) -> str:
        """Say what is seen, with n and the meaning of bars and dots."""

    def size_mm(self, data: Any) -> tuple[float, float]:
        """Return width and height."""


class FigureResult(NamedTuple):
    """One figure of a study: written, or `missing` says why not and what to do.

    `varied` is False where the study never set out to vary what the figure shows.
    """

    name: str
    title: str
    caption: str
    png: Path | None
    pdf: Path | None
    missing: str
    varied: bool = True


#: Name of each figure -> its module, in the order of a report.
FIGURES: MappingProxyType[str, FigureModule] = MappingProxyType({
    "qualitative": qualitative,
    "lc_gain": lc_gain,
    "lc_depth": lc_depth,
    "context": context,
    "latent_depth": latent_depth,
    "patch_size": patch_size,
    "padding_curves": padding_curves,
    "seams": seams,
    "sample_count": sample_count,
    "calibration": calibration,
    "memory": memory,
    "pareto": pareto,
    "factors": factors,
    "factor_importance": factor_importance,
    "parallel": parallel,
    "optimisation": optimisation,
    "learning_curves": learning_curves,
    "kl_levels": kl_levels,
})  # fmt: skip


def draw_figures(record: StudyRecord, folder: Path) -> list[FigureResult]:
    """Write every figure that the study has data for as ``folder/NAME.png`` and ``folder/NAME.pdf``."""
    return [_draw_one(name, module, record, folder) for name, module in FIGURES.items()]


def draw_overview(data: overview.Overview, folder: Path) -> FigureResult:
    """Write an overview as ``folder/overview.png`` and ``folder/overview.pdf``."""
    width_mm, height_mm = overview.size_mm(data)
    files = draw_and_save(
        lambda figure: overview.draw(data, figure), width_mm=width_mm, height_mm=height_mm, stem=folder / "overview"
    )
    return FigureResult("overview", overview.TITLE, overview.caption(data), files.png, files.pdf, "")


def _draw_one(name: str, module: FigureModule, record: StudyRecord, folder: Path) -> FigureResult:
    try:
        data = module.data(record)
    except MissingRuns as missing:
        return FigureResult(name, module.TITLE, "", None, None, str(missing), not isinstance(missing, NotVaried))
    width_mm, height_mm = module.size_mm(data)
    files = draw_and_save(
        lambda figure: module.draw(data, figure), width_mm=width_mm, height_mm=height_mm, stem=folder / name
    )
    caption = module.caption(data)
    return FigureResult(name, module.TITLE, caption[:1].upper() + caption[1:], files.png, files.pdf, "")
