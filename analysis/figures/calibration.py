"""Predicted standard deviation against the error that was made, one panel a structure channel.

Axis letters: C structure channel.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.curves import MOST_CURVES, legend_columns
from analysis.records import Evaluation, MissingRuns, NotVaried, Sample, Settings, StudyRecord
from analysis.selection import (
    cells,
    describe_tiling,
    first_seeds,
    how_to_run,
    pick,
    require_evaluations,
    sort_key,
    train_factors,
)
from analysis.style import COLUMN_MM, FAINT, PAGE_MM, colour, marker
from analysis.tasks import describe_cell
from usplit_core.settings import SETTINGS, Setting

TITLE = "Calibration of the predicted deviation"
_TILING = tuple(name for name in SETTINGS if name.startswith("tiling."))


class Curve(NamedTuple):
    """One model and structure channel: deviation and error of each bin, in normalised units."""

    label: str
    deviation: tuple[float, ...]
    error: tuple[float, ...]


class Panel(NamedTuple):
    """One structure channel."""

    channel: str
    curves: tuple[Curve, ...]


class Calibration(NamedTuple):
    """What the figure shows: one seed, one tiling; `left_out` counts models that found no colour.

    `other` counts those with other structure channels than the panels.
    """

    panels: tuple[Panel, ...]
    tiling: str
    seed: Setting
    left_out: int
    other: int


def data(record: StudyRecord) -> Calibration:
    """Return the calibration curves of every model at the tiling that most of them have.

    Raises
    ------
    NotVaried
        If no evaluation predicts a pixel more than once.
    MissingRuns
        If nothing was evaluated, or the curves are gone.
    """
    require_evaluations(record)
    finished = {trial.fingerprint for trial in record.finished}
    rows = [row for row in record.evaluations if row.trial in finished and "test/calibration_error" in row.metrics]
    if not rows:
        raise NotVaried("No evaluation of the study has more than one posterior sample.")
    tiling = _commonest_tiling(rows)
    names = train_factors(record)
    known = first_seeds(record._replace(evaluations=tuple(rows)), [*names, *tiling])
    wanted = [tuple({**cell, **tiling}.values()) for cell in cells(record, names)]
    chosen = [known[key] for key in wanted if key in known]
    found = [(row, sample) for row in chosen if (sample := row.sample()) is not None]
    known_bins = [(row, sample) for row, sample in found if _has_bins(sample)]
    if not known_bins:
        raise MissingRuns(f"No evaluation has stored its calibration yet. {how_to_run(record)}")
    first = known_bins[0][1]
    curves = [(row, sample) for row, sample in known_bins if _channel_names(sample) == _channel_names(first)]
    return Calibration(
        panels=tuple(
            Panel(
                name,
                tuple(
                    _curve(describe_cell(record, pick(row.settings, names)) or "prediction", sample, channel)
                    for row, sample in curves[:MOST_CURVES]
                ),
            )
            for channel, name in enumerate(_channel_names(first))
        ),
        tiling=describe_tiling(tiling),
        seed=curves[0][0].seed,
        left_out=max(len(curves) - MOST_CURVES, 0),
        other=len(known_bins) - len(curves),
    )


def draw(data: Calibration, figure: Figure) -> None:
    """Draw a panel a structure channel, with the diagonal on which a prediction is calibrated."""
    axes = figure.subplots(1, len(data.panels), squeeze=False)[0]
    for ax, panel in zip(axes, data.panels, strict=True):
        _draw_panel(ax, panel)
    axes[0].set_ylabel("root mean squared error (normalised)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, size_mm(data)[0]))


def caption(data: Calibration) -> str:
    """Say what is seen."""
    text = (
        "Error of the prediction against its predicted standard deviation, in normalised units, in bins of about "
        f"equally many pixels of the test frames; {data.tiling}; n = 1 trial a curve, seed {data.seed}. "
        "On the dotted diagonal both agree; above it the prediction is surer than it should be. "
        "The error includes the noise of the targets."
    )
    if data.left_out:
        text += f" The last {data.left_out} models are left out."
    if data.other:
        text += f" Not shown: {data.other} model{'' if data.other == 1 else 's'} of other structure channels."
    return text


def size_mm(data: Calibration) -> tuple[float, float]:
    """Return width and height: one column for one structure channel, two for more."""
    return (COLUMN_MM if len(data.panels) == 1 else PAGE_MM), 72.0


def _draw_panel(ax: Axes, panel: Panel) -> None:
    for index, curve in enumerate(panel.curves):
        ax.plot(
            curve.deviation, curve.error, color=colour(index), marker=marker(index), markersize=2.5, label=curve.label
        )
    low, high = 0.0, max(max(curve.deviation) for curve in panel.curves)
    ax.plot([low, high], [low, high], color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
    ax.set(xlim=(0, None), ylim=(0, None))
    ax.set_xlabel("predicted standard deviation, RMV (normalised)")
    ax.set_title(panel.channel)


def _curve(label: str, sample: Sample, channel: int) -> Curve:
    bins = np.asarray(sample.calibration)[channel]
    _, deviation, error = bins[bins[:, 0] > 0].T
    return Curve(label, tuple(deviation.tolist()), tuple(error.tolist()))


def _has_bins(sample: Sample) -> bool:
    """Say whether every structure channel has a bin with pixels in it."""
    return sample.calibration is not None and bool((sample.calibration[..., 0] > 0).any(axis=-1).all())


def _channel_names(sample: Sample) -> tuple[str, ...]:
    return sample.channels or tuple(f"channel {channel}" for channel in range(len(sample.target)))


def _commonest_tiling(rows: list[Evaluation]) -> Settings:
    """Return the tiling that most rows have; of several the first."""
    counts = Counter(tuple(row.settings.get(name) for name in _TILING) for row in rows)
    values = min(counts, key=lambda key: (-counts[key], [sort_key(value) for value in key]))
    return {name: value for name, value in zip(_TILING, values, strict=True) if name in rows[0].settings}
