"""Where context helps: what each further level of lateral context adds, by the width of the field that it shows.

The paper says that the further away, the lower the resolution that suffices, without a protocol. This one is ours
(docs/figures.md): networks that see one level more are trained anew, and compared with those that do not.
"""

from typing import NamedTuple

from matplotlib.figure import Figure

from analysis.effects import compare_levels
from analysis.figures.dots import Dot, draw_dots, height_mm, what_dots_mean
from analysis.records import MissingRuns, NotVaried, StudyRecord
from analysis.selection import (
    describe_tiling,
    headline,
    how_to_add,
    how_to_run,
    is_sampled,
    levels,
    reference_tiling,
    train_factors,
)
from analysis.style import COLUMN_MM, FAINT
from analysis.tasks import network_factors
from usplit_core.vocabulary import Metric

TITLE = "Where context helps"
_FACTOR = "model.lc_depth"
_PATCH = "model.patch_px"


class Context(NamedTuple):
    """What the figure shows, at one tiling."""

    metric: Metric
    tiling: str
    dots: tuple[Dot, ...]


def data(record: StudyRecord) -> Context:
    """Return the gain of each LC depth over the next smaller one, paired by seed and all other factors.

    Raises
    ------
    NotVaried
        If fewer than three LC depths were trained, since two have their own figure, or they were drawn one by one.
    MissingRuns
        If they were not evaluated.
    """
    if _FACTOR not in train_factors(record) or len(levels(record, _FACTOR)) < 3:
        raise NotVaried(f"{TITLE} needs three LC depths or more. {how_to_add(record, _FACTOR, kind='train')}")
    if any(is_sampled(record, name) for name in network_factors(record)):
        raise NotVaried(f"{TITLE} compares LC depths with all else equal, and a search draws everything anew.")
    metric, tiling = headline(record), reference_tiling(record)
    depths = [int(str(level)) for level in levels(record, _FACTOR)]
    steps = list(zip(depths[1:], depths, strict=False))
    patches = [int(str(patch)) for patch in levels(record, _PATCH)]
    dots = [
        Dot(
            (f"patch {patch} px: " if len(patches) > 1 else "")
            + _row(int(str(effect.level)), int(str(effect.reference)), patch),
            "",
            (),
            effect.difference.summary,
        )
        for patch in patches
        for effect in compare_levels(record, _FACTOR, metric.key, steps, where={**tiling, _PATCH: patch})
    ]
    if not dots:
        raise MissingRuns(f"No two LC depths share a seed and the other factors. {how_to_run(record)}")
    return Context(metric, describe_tiling(tiling), tuple(dots))


def draw(data: Context, figure: Figure) -> None:
    """Draw a row a step of the LC depth, and a line at no gain."""
    ax = figure.subplots()
    draw_dots(ax, data.dots)
    ax.axvline(0, color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
    ax.set_xlabel(f"gain in {data.metric.label} ({data.metric.unit})")
    ax.set_ylabel("field of view that is added")


def caption(data: Context) -> str:
    """Say what is seen."""
    return (
        f"Gain in {data.metric.label} on the test frames of the networks that see a further level of lateral context "
        f"over those that do not, paired by seed and all other factors, with {data.tiling}. A row says which field of "
        f"view is added, and at which resolution. {what_dots_mean(data.dots).replace(' dots: single seeds;', '')} "
        "The protocol is this project's own: each network is trained anew."
    )


def size_mm(data: Context) -> tuple[float, float]:
    """Return width and height."""
    return COLUMN_MM, height_mm(data.dots, legend=False)


def _row(after: int, before: int, patch_px: int) -> str:
    return f"{patch_px * 2**before}–{patch_px * 2**after} px\nat 1/{2**after}"
