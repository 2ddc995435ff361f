"""`usplit noise-model`: fit a noise model to pairs of images, say how well it fits, and draw it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from usplit_core.errors import DataError, OutputError
from usplit_core.settings import parse_setting

if TYPE_CHECKING:
    from usplit_core.data.frames import Frames
    from usplit_core.models.noise_quality import ChannelFit

_SUFFIX = ".safetensors"
#: Above these, the model does not describe the pairs: relative, and in standard deviations.
_LARGE_MISFIT, _LARGE_BIAS = 0.15, 0.2


def noise_model_command(
    signal: str,
    observation: str,
    out: Path,
    *,
    channels: str | None,
    axes: str | None,
    gaussians: int,
    coefficients: int,
    seed: int,
) -> None:
    """Fit a noise model and write it to `out`, with a figure beside it.

    Raises
    ------
    UserError
        If the images, or the place to write to, cannot be used.
    """
    _prepare_output(out)
    pairs = [_read(images, channels, axes) for images in (signal, observation)]
    pixels = _match(*pairs)
    from usplit_core.models.noise_model import fit_noise_model, save_noise_model
    from usplit_core.models.noise_quality import assess

    console = Console()
    with console.status("fitting"):
        model = fit_noise_model(*pixels, components=gaussians, coefficients=coefficients, seed=seed)
        fits = assess(model, *pixels, seed=seed)
    save_noise_model(out, model)
    names = pairs[1].channel_names
    console.print(_table(names, fits))
    for remark in _remarks(names, fits):
        console.print(remark, highlight=False, markup=False, soft_wrap=True)
    for path in (out, _draw(names, fits, out)):
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)


def _prepare_output(out: Path) -> None:
    if out.suffix != _SUFFIX:
        raise OutputError(f"--out {out}: a noise model is a {_SUFFIX} file; name it {out.with_suffix(_SUFFIX)}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror}; name a file in a directory that can be written to") from None


def _read(images: str, channels: str | None, axes: str | None) -> "Frames":
    from usplit_core.data.frames import read_frames

    path: Any = parse_setting("data.path", images)
    chosen: Any = None if channels is None else parse_setting("data.channels", channels)
    return read_frames(path, axes=axes, channels=chosen)


def _match(signal: "Frames", observation: "Frames") -> tuple[NDArray[Any], NDArray[Any]]:
    """Return signal and observation (N, C, Y, X); one frame of signal stands for every observation of it."""
    clean, noisy = signal.pixels, observation.pixels
    if clean.shape[1:] != noisy.shape[1:] or len(clean) not in (1, len(noisy)):
        raise DataError(
            f"the signal has {_outline(clean)} and the observation {_outline(noisy)} (N, C, Y, X): give as many frames "
            "of both, or one frame of signal, with the same channels, rows and columns"
        )
    return np.broadcast_to(clean, noisy.shape), noisy


def _outline(pixels: NDArray[Any]) -> str:
    return " x ".join(map(str, pixels.shape))


def _table(names: Sequence[str], fits: Sequence["ChannelFit"]) -> Table:
    title = "standard deviation of the noise, from dark to bright"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("channel")
    for heading in ("signal", "measured", "fitted", "misfit", "bias", "gain in nats"):
        table.add_column(heading, justify="right")
    for name, fit in zip(names, fits, strict=True):
        ranges = (f"{values[0]:.3g} to {values[-1]:.3g}" for values in (fit.signal, fit.measured, fit.fitted))
        table.add_row(name, *ranges, f"{fit.misfit:.1%}", f"{fit.relative_bias:.2f}", f"{fit.gain:+.3f}")
    return table


def _remarks(names: Sequence[str], fits: Sequence["ChannelFit"]) -> list[str]:
    remarks = []
    for name, fit in zip(names, fits, strict=True):
        if fit.misfit > _LARGE_MISFIT:
            remarks.append(
                f"{name}: the fitted noise is up to {fit.misfit:.0%} off; "
                "other --gaussians and --coefficients, or more pairs, may mend it"
            )
        if fit.relative_bias > _LARGE_BIAS:
            remarks.append(
                f"{name}: the observation is up to {fit.relative_bias:.2f} standard deviations off the signal on "
                "average; a noise model supposes 0: check offset and registration of the pairs"
            )
    return remarks


def _draw(names: Sequence[str], fits: Sequence["ChannelFit"], out: Path) -> Path:
    from analysis.figures import noise_model
    from analysis.style import draw_and_save

    shown = noise_model.data(names, fits)
    width_mm, height_mm = noise_model.size_mm(shown)
    try:
        return draw_and_save(
            lambda figure: noise_model.draw(shown, figure), width_mm=width_mm, height_mm=height_mm, stem=out
        ).png
    except OSError as error:
        raise OutputError(f"the figure beside {out} cannot be written: {error.strerror}; make room there") from None
