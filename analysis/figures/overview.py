"""A whole frame and what the best model splits it into, beside what was acquired (docs/method.md, Figures).

Axis letters: C structure channel, Y, X.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from analysis.style import PAGE_MM

TITLE = "The best model on a whole frame"
_TALLEST = 2.8  # of a panel, as a multiple of its width
_BRIGHTEST = 99.8  # percentile of the target that is shown as white


class Overview(NamedTuple):
    """One frame, reduced to a size that a page can show.

    `test_box` is what the model has never seen of it: top, left, height, width in px of these arrays.
    """

    input: NDArray[Any]  # (Y, X)
    prediction: NDArray[Any]  # (C, Y, X)
    target: NDArray[Any]  # (C, Y, X)
    channels: tuple[str, ...]
    test_box: tuple[float, float, float, float]
    model: str


def save(path: Path, overview: Overview) -> None:
    """Write an overview as a file that `load` reads."""
    np.savez_compressed(path, allow_pickle=False, **overview._asdict())


def load(path: Path) -> Overview:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Overview(
            input=arrays["input"],
            prediction=arrays["prediction"],
            target=arrays["target"],
            channels=tuple(str(name) for name in arrays["channels"]),
            test_box=tuple(float(value) for value in arrays["test_box"]),  # type: ignore[arg-type] # four of them
            model=str(arrays["model"]),
        )


def draw(data: Overview, figure: Figure) -> None:
    """Draw one row: the input, then prediction and target of each structure channel."""
    axes = figure.subplots(1, 1 + 2 * len(data.channels), squeeze=False)[0]
    _show(axes[0], data.input, data.input, "superimposed", data.test_box)
    for index, name in enumerate(data.channels):
        target = data.target[index]
        _show(axes[1 + 2 * index], data.prediction[index], target, f"{name}, split", data.test_box)
        _show(axes[2 + 2 * index], target, target, f"{name}, acquired", data.test_box)


def caption(data: Overview) -> str:
    """Say what is seen."""
    top, left, height, width = data.test_box
    whole = (top, left) == (0, 0) and (height, width) == data.input.shape
    seen = (
        "The model has not seen this frame in training."
        if whole
        else "Inside the dashed frame lies the test region; the rest was used in training and validation."
    )
    return f"{data.model}. {seen} Split and acquired image of a channel are shown with the same range."


def size_mm(data: Overview) -> tuple[float, float]:
    """Return width and height."""
    panel_mm = PAGE_MM / (1 + 2 * len(data.channels))
    height, width = data.input.shape
    return PAGE_MM, panel_mm * min(height / width, _TALLEST) + 8


def _show(
    ax: Axes, image: NDArray[Any], reference: NDArray[Any], title: str, box: tuple[float, float, float, float]
) -> None:
    low, high = np.percentile(reference, (1, _BRIGHTEST))
    ax.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-12))
    ax.set_title(title, fontweight="normal", loc="center")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    top, left, height, width = box
    if (height, width) != image.shape:
        edge = Rectangle((left, top), width - 1, height - 1, fill=False, color="#E69F00", linewidth=0.7, linestyle="--")
        ax.add_patch(edge)
