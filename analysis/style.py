"""How every figure looks: widths, palette, fonts. Agg canvas and explicit `Figure` objects, never pyplot."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from usplit_core.errors import OutputError

#: Widths of one and of two columns of a journal page.
COLUMN_MM = 88.0
PAGE_MM = 180.0

#: Okabe and Ito (2008), told apart by all common kinds of colour vision; without yellow, which is faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#222222"
FAINT = "#8a8a8a"

_MM_PER_INCH = 25.4
_RC: Any = {  # matplotlib types every key by its own name
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same figure on every machine
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "text.color": INK,
    "text.parse_math": False,  # names of files hold dollar signs
    "legend.fontsize": 6.5,
    "legend.title_fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "figure.dpi": 300,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # embedded TrueType: text stays text in an editor
    "svg.fonttype": "none",
    "image.interpolation": "nearest",
}


class Files(NamedTuple):
    """Where one figure was written."""

    png: Path
    pdf: Path


def draw_and_save(draw: Callable[[Figure], None], *, width_mm: float, height_mm: float, stem: Path) -> Files:
    """Draw on a fresh figure of the given size and write it beside `stem` as PNG and PDF, each whole or not at all.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        files = Files(stem.with_suffix(".png"), stem.with_suffix(".pdf"))
        figure.draw_without_rendering()
        # The places that have just been found, at the resolution of the PNG. With an engine, or with "none", matplotlib
        # would draw once more before each file.
        figure.set_layout_engine(None)
        try:
            stem.parent.mkdir(parents=True, exist_ok=True)
            _save(figure, files.png, {"Software": None})
            _save(figure, files.pdf, {"Creator": None, "Producer": None, "CreationDate": None})
        except OSError as error:
            raise OutputError(
                f"{stem.parent} cannot hold the figures ({error.strerror}): "
                "name a folder that may be written to and has room"
            ) from error
    return files


def colour(index: int) -> str:
    """Return the colour of series `index`."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """Return the marker of series `index`, so that series differ in print without colour as well."""
    return MARKERS[index % len(MARKERS)]


def mark_levels(ax: Axes, positions: Sequence[float], names: Sequence[str]) -> None:
    """Put a tick at each level of a factor and nowhere else."""
    ax.set_xticks(list(positions), list(names))
    ax.minorticks_off()


def draw_seeds(ax: Axes, x: Sequence[float], y: Sequence[float], index: int) -> None:
    """Draw the single seeds behind the means of series `index` as small pale dots."""
    # A line without a line: a marker that is drawn once and stamped is several times faster than a scatter.
    ax.plot(x, y, "o", markersize=2.4, color=colour(index), alpha=0.45, markeredgewidth=0, zorder=3)


def _save(figure: Figure, path: Path, metadata: dict[str, None]) -> None:
    # No date and no version in the file: the same data give the same bytes.
    unfinished = path.with_name(f".{path.name}.unfinished")
    figure.savefig(unfinished, format=path.suffix[1:], metadata=metadata)
    unfinished.replace(path)
