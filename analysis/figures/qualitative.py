"""A crop of a test frame: input, each model's structure channels, target (docs/method.md, Figures).

Axis letters: C structure channel, Y, X.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from analysis.records import Evaluation, MissingRuns, Sample, StudyRecord
from analysis.selection import (
    cells,
    describe,
    describe_tiling,
    evaluation_factors,
    first_seeds,
    headline,
    how_to_run,
    pick,
    reference_tiling,
    train_factors,
)
from analysis.statistics import group
from analysis.style import PAGE_MM, PALETTE
from analysis.tasks import task_factors, task_name
from usplit_core.settings import Setting

TITLE = "Sample split images"
_INKS = {"target": PALETTE[5], "prediction": PALETTE[4]}
_LONGEST = 4 / 3  # of the sides of a panel: a strip would leave no room for the others
_ROUNDING = 1e-4  # of the range of intensities: far less than a grey level
_PANEL_MM = 46.0
_MOST_COLUMNS = 4  # models beside input and target: more would be stamps


class Column(NamedTuple):
    """One model under one tiling: its prediction of the crop, and its score there."""

    label: str
    prediction: NDArray[Any]  # (C, Y, X)
    psnr_db: tuple[float, ...]  # (C,)


class Qualitative(NamedTuple):
    """What the figure shows: one crop, one seed; `left_out` counts models that were given other images."""

    input: NDArray[Any]  # (Y, X)
    target: NDArray[Any]  # (C, Y, X)
    channels: tuple[str, ...]
    columns: tuple[Column, ...]
    seed: Setting
    fixed: str
    left_out: int


def data(record: StudyRecord) -> Qualitative:
    """Return the sample crops of up to four models, or of up to four tilings where there is one model.

    Where the images vary, models of the first ones are shown: input and target stand there once for all.

    Raises
    ------
    MissingRuns
        If no evaluation has a sample.
    """
    names = train_factors(record)
    tiling = reference_tiling(record)
    if len(cells(record, names)) > 1:
        wanted = [{**cell, **tiling} for cell in cells(record, names)]
        fixed = describe_tiling(tiling)
    else:
        names = evaluation_factors(record)
        wanted = [dict(item.levels) for item in group(record, headline(record).key, names)]
        fixed = describe({name: value for name, value in tiling.items() if name not in names})
    rows = first_seeds(record, list(wanted[0])) if wanted else {}
    chosen = [(pick(item, names), rows[key]) for item in wanted if (key := tuple(item.values())) in rows]
    tasks = task_factors(record)
    alike = [(levels, row) for levels, row in chosen if pick(row.settings, tasks) == pick(chosen[0][1].settings, tasks)]
    kept = [alike[index] for index in _spread(len(alike))]
    loaded = [(levels, row, row.sample()) for levels, row in kept]
    found = [(levels, row, _centre(sample)) for levels, row, sample in loaded if sample is not None]
    if not found:
        raise MissingRuns(f"No evaluation has stored a sample crop yet. {how_to_run(record)}")
    _, first_row, first = found[0]
    shown = [(levels, sample) for levels, _, sample in found if sample is first or _is_same(sample, first)]
    images = task_name(record, pick(first_row.settings, tasks)).splitlines()
    return Qualitative(
        input=first.input,
        target=first.target,
        channels=first.channels or _channel_names(first_row, len(first.target)),
        columns=tuple(
            _column(describe({name: levels[name] for name in levels if name not in tasks}) or "prediction", sample)
            for levels, sample in shown
        ),
        seed=first_row.seed,
        fixed=", ".join([*images, *filter(None, [fixed])]),
        left_out=len(found) - len(shown),
    )


def draw(data: Qualitative, figure: Figure) -> None:
    """Draw a row a structure channel; the input stands in the first row, the legend of the insets below it."""
    axes = figure.subplots(len(data.channels), len(data.columns) + 2, squeeze=False)
    _show(axes[0, 0], data.input, _range(data.input))
    axes[0, 0].set_title("input", fontweight="normal", loc="center")
    _scale_bar(axes[0, 0], data.input.shape[1])
    _legend(axes[1, 0])
    for row in range(len(data.channels)):
        limits = _range(data.target[row])
        for index, column in enumerate(data.columns):
            ax = axes[row, index + 1]
            _show(ax, column.prediction[row], limits)
            _write_score(ax, column.psnr_db[row])
            _inset(ax, column.prediction[row], data.target[row], limits)
            if row == 0:
                ax.set_title(_wrap(column.label), fontweight="normal", loc="center")
        _show(axes[row, -1], data.target[row], limits)
        axes[row, -1].yaxis.set_label_position("right")
        axes[row, -1].set_ylabel(data.channels[row], rotation=270, labelpad=8)
    axes[0, -1].set_title("target", fontweight="normal", loc="center")
    for ax in axes[1:, 0]:
        ax.set_axis_off()


def caption(data: Qualitative) -> str:
    """Say what is seen."""
    height, width = data.input.shape
    at = f", {data.fixed}" if data.fixed else ""
    text = (
        f"One crop of {width} × {height} px of a test frame{at}; n = 1 trial a column, seed {data.seed}. "
        "Each row is shown with the range of its target. "
        "White: scale-invariant PSNR of this crop, which differs from the score of whole frames. "
        "Insets: density of intensities, prediction (orange) and target (blue)."
    )
    models = f"{data.left_out} model{'' if data.left_out == 1 else 's'}"
    return f"{text} Not shown: {models} with another input or target." if data.left_out else text


def size_mm(data: Qualitative) -> tuple[float, float]:
    """Return width and height: panels are as tall as the crop's shape asks for."""
    height, width = data.input.shape
    columns = len(data.columns) + 2
    panel_mm = min((PAGE_MM - 8) / columns, _PANEL_MM)
    return panel_mm * columns + 8, panel_mm * height / width * len(data.channels) + 9


def scale_invariant_psnr(target: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Return the scale-invariant PSNR of one channel's crop in dB (docs/method.md, Evaluation).

    A constant target has none: the result is then NaN. A perfect prediction gives infinity.
    """
    deviation = float(target.std(ddof=1))
    if deviation == 0:
        return float("nan")
    wanted = (target.astype(np.float64) - target.mean()) / deviation
    found = prediction.astype(np.float64) - prediction.mean()
    power = float((found**2).sum())
    scale = float((wanted * found).sum()) / power if power else 0.0
    error = float(((wanted - scale * found) ** 2).mean())
    span = float(target.max() - target.min()) / deviation
    return float("inf") if error == 0 else 20 * float(np.log10(span / np.sqrt(error)))


def _spread(count: int) -> list[int]:
    """Return the indices of at most four of `count` items, evenly from first to last."""
    return [round(index) for index in np.linspace(0, count - 1, min(count, _MOST_COLUMNS))]


def _centre(sample: Sample) -> Sample:
    """Return the middle of a long crop."""
    height, width = sample.input.shape
    rows, columns = min(height, round(width * _LONGEST)), min(width, round(height * _LONGEST))
    top, left = (height - rows) // 2, (width - columns) // 2
    window = (..., slice(top, top + rows), slice(left, left + columns))
    return sample._replace(
        input=sample.input[window], prediction=sample.prediction[window], target=sample.target[window]
    )


def _is_same(sample: Sample, first: Sample) -> bool:
    """Say whether two samples have the same input and target, but for rounding by other statistics."""
    pairs = ((sample.input, first.input), (sample.target, first.target))
    return all(
        ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=0, atol=_ROUNDING * float(np.ptp(theirs)))
        for ours, theirs in pairs
    )


def _column(label: str, sample: Sample) -> Column:
    scores = tuple(scale_invariant_psnr(t, p) for t, p in zip(sample.target, sample.prediction, strict=True))
    return Column(label, sample.prediction, scores)


def _channel_names(row: Evaluation, count: int) -> tuple[str, ...]:
    given = row.settings.get("data.channels")
    names = given if isinstance(given, tuple) and len(given) == count else tuple(range(count))
    return tuple(name if isinstance(name, str) else f"channel {name}" for name in names)


def _range(image: NDArray[Any]) -> tuple[float, float]:
    low, high = float(image.min()), float(image.max())
    return (low, high) if high > low else (low, low + 1)


def _show(ax: Axes, image: NDArray[Any], limits: tuple[float, float]) -> None:
    ax.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1])
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def _write_score(ax: Axes, psnr_db: float) -> None:
    text = ax.text(0.04, 0.95, f"{psnr_db:.1f} dB", color="white", transform=ax.transAxes, va="top", fontweight="bold")
    text.set_bbox({"facecolor": "black", "alpha": 0.45, "edgecolor": "none", "pad": 1.2})


def _inset(ax: Axes, prediction: NDArray[Any], target: NDArray[Any], limits: tuple[float, float]) -> None:
    """Draw the density of intensities of prediction and target over the lower left of the panel."""
    grid = np.linspace(*limits, 100)
    inset = ax.inset_axes((0.04, 0.04, 0.4, 0.2))
    inset.set(xticks=[], yticks=[], xlim=limits, facecolor=(0, 0, 0, 0.55))
    inset.grid(visible=False)
    inset.spines[:].set_visible(False)
    for image, ink in ((target, _INKS["target"]), (prediction, _INKS["prediction"])):
        values = image.ravel()[:: max(1, image.size // 2000)]
        if np.ptp(values) > 0:
            inset.plot(grid, gaussian_kde(values)(grid), color=ink, linewidth=0.9)


def _legend(ax: Axes) -> None:
    handles = [Line2D([], [], color=ink, label=words) for words, ink in _INKS.items()]
    ax.legend(handles=handles, loc="upper left", title="insets: intensities of", alignment="left")


def _scale_bar(ax: Axes, width_px: int) -> None:
    length = max(step for step in (1, 2, 5, 10, 20, 50, 100) if step <= max(width_px // 3, 1))
    ax.plot([0.06, 0.06 + length / width_px], [0.06, 0.06], color="white", linewidth=2, transform=ax.transAxes)
    ax.text(0.06, 0.09, f"{length} px", color="white", transform=ax.transAxes, va="bottom")


def _wrap(label: str) -> str:
    return label.replace(", ", "\n")
