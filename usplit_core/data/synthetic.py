"""Generated frames: sinusoidal critters and pairs of glyphs (docs/method.md, Synthetic data).

Every frame follows from the seed and its number, so fewer frames are the first of more.
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from usplit_core.errors import DataError, nearest

CURVES = 5
AMPLITUDE_PX = 8.0
STEP_PX = 0.1
#: Reach of a critter's body around its line: from -10 to 9 px.
REACH_PX = 10
#: Frequencies (1/px) in four ranges; a critter has one of them on its left and another on its right.
FREQUENCIES = np.array([[0.05, 0.07], [0.12, 0.14], [0.3, 0.32], [0.6, 0.62]])
#: Ranges that are paired in each channel: all halves occur in both, only the pairing tells the channel.
PAIRS = np.array([[[0, 2], [1, 3]], [[0, 3], [1, 2]]])  # (channel, choice, left or right)
CONNECTING_FREQUENCY = 0.01
VERTICAL_RANGE = 0.9
HORIZONTAL_RANGE = 0.3

GLYPHS = "AB"
GLYPH_SIZE = (0.6, 0.9)
GLYPH_TILT_DEGREES = 15.0


class _Request(NamedTuple):
    frames: int
    seed: int
    size_px: int


def generate(request: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return generated frames (N, C, Y, X) and the names of their channels.

    Parameters
    ----------
    request
        ``critters-n0``, ``critters-n25`` or ``glyphs``, and behind a ``?`` any of ``frames``, ``seed`` and
        ``size_px``, such as ``critters-n0?frames=100&seed=1``.

    Raises
    ------
    DataError
        If there is no such data, or a number cannot be used.
    """
    name, _, query = request.partition("?")
    if name not in _GENERATORS:
        raise DataError(f"there are no synthetic images {name!r}; {nearest(name, _GENERATORS)}")
    generator = _GENERATORS[name]
    numbers = _parse(query, generator.default)
    if numbers.size_px < generator.smallest_px:
        raise DataError(f"size_px = {numbers.size_px}: {name} needs frames of at least {generator.smallest_px} px")
    draw = generator.prepare(numbers.size_px)
    frames = [draw(_random(numbers.seed, frame)) for frame in range(numbers.frames)]
    return np.stack(frames), generator.channel_names


def _parse(query: str, default: _Request) -> _Request:
    values = default._asdict()
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in values:
            raise DataError(f"synthetic images have no setting {name!r}; {nearest(name, values)}")
        lowest = 0 if name == "seed" else 1
        if not text.isdecimal() or not lowest <= int(text) < 2**63:
            raise DataError(f"{name} = {text!r}: must be a whole number of at least {lowest}, and below 2**63")
        values[name] = int(text)
    return _Request(**values)


def _random(seed: int, frame: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, frame], np.uint64)))


def _critters(connecting: float, size_px: int) -> Callable[[np.random.Generator], NDArray[np.float32]]:
    """Return what draws a frame (2, size_px, size_px) of critters.

    Parameters
    ----------
    connecting
        Share of a critter's length that joins its left and its right half.
    """
    kernel = _body()
    x = np.arange(0, size_px * (1 + HORIZONTAL_RANGE), STEP_PX)

    def draw(random: np.random.Generator) -> NDArray[np.float32]:
        shift = random.uniform(0, HORIZONTAL_RANGE * size_px, (2, CURVES)) * random.choice([-1, 1], (2, CURVES))
        length = size_px + np.floor(np.abs(shift))  # (2, curve)
        y = _curves(x, length, _frequencies(random), connecting)  # (2, curve, x)
        bucket = VERTICAL_RANGE * size_px / CURVES
        top = bucket * np.arange(CURVES) + random.uniform(AMPLITUDE_PX, bucket - AMPLITUDE_PX, (2, CURVES))
        mirrored = random.random((2, CURVES)) < 0.5
        place = np.where(mirrored[..., None], length[..., None] - x, x) + shift[..., None]  # (2, curve, x)
        on_curve = x < length[..., None]
        lowest = np.min(y, axis=-1, where=on_curve, initial=np.inf)
        rows = np.trunc(AMPLITUDE_PX * (y - lowest[..., None]) + top[..., None])
        columns = np.trunc(place)
        seen = on_curve & (rows < size_px) & (columns >= 0) & (columns < size_px)
        lines = np.zeros((2, CURVES, size_px, size_px))
        channel, curve, _ = np.nonzero(seen)
        lines[channel, curve, rows[seen].astype(np.int64), columns[seen].astype(np.int64)] = 1
        return _thicken(lines.sum(axis=1), kernel)

    return draw


def _frequencies(random: np.random.Generator) -> NDArray[np.float64]:
    """Return the frequencies of the left and the right half, (2, curve, 2)."""
    choice = random.integers(2, size=(2, CURVES))
    ranges = FREQUENCIES[PAIRS[np.arange(2)[:, None], choice]]  # (2, curve, half, bound)
    low, high = np.moveaxis(ranges, -1, 0)
    return np.asarray(random.uniform(low, high))  # (2, curve, half)


def _curves(
    x: NDArray[np.float64], length: NDArray[np.float64], halves: NDArray[np.float64], connecting: float
) -> NDArray[np.float64]:
    """Return curves (2, curve, x) of sines that follow each other with equal value and, where possible, slope.

    The next sine starts at the phase arccos(w cos(phase) / w_next), with the argument kept within [-1, 1].
    """
    joint = np.floor(connecting * length)
    half = (length - joint) // 2
    left, right = halves[..., 0], halves[..., 1]
    parts = [(left, half), (right, half)]
    if connecting:
        parts.insert(1, (np.full_like(left, CONNECTING_FREQUENCY), joint))
    start, phase, offset = np.zeros_like(length), np.zeros_like(length), np.zeros_like(length)
    curve = np.zeros((*length.shape, x.size))
    for at, (frequency, extent) in enumerate(parts):
        angle = phase[..., None] + frequency[..., None] * (x - start[..., None])
        curve = np.where(x >= start[..., None], np.sin(angle) + offset[..., None], curve)
        if at + 1 == len(parts):
            break
        end = phase + frequency * extent
        slope = frequency * np.cos(end) / parts[at + 1][0]
        phase = np.arccos(np.clip(slope, -1, 1))
        offset = offset + np.sin(end) - np.sin(phase)
        start = start + extent
    return curve


def _body() -> NDArray[np.float64]:
    """Return how bright a critter is around each pixel of its line, without that pixel itself."""
    offset = np.arange(-REACH_PX, REACH_PX)
    distance = np.hypot(*np.meshgrid(offset, offset))
    distance[REACH_PX, REACH_PX] = np.inf
    body: NDArray[np.float64] = np.sqrt(2) / distance
    return body


def _thicken(lines: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float32]:
    size = lines.shape[-1]
    body = fftconvolve(lines, kernel[None], axes=(1, 2))[:, REACH_PX : REACH_PX + size, REACH_PX : REACH_PX + size]
    body[body < kernel[kernel > 0].min() / 2] = 0  # rounding of the Fourier transform
    # The authors' frames have no body in their first row and column.
    body[:, 0] = body[:, :, 0] = 0
    frame: NDArray[np.float32] = (body + lines).astype(np.float32)
    return frame


def _glyphs(size_px: int) -> Callable[[np.random.Generator], NDArray[np.uint8]]:
    """Return what draws a frame (2, size_px, size_px) with a letter A and a letter B, each in any of DejaVu's fonts."""
    fonts = _fonts()

    def draw(random: np.random.Generator) -> NDArray[np.uint8]:
        frame = np.zeros((len(GLYPHS), size_px, size_px), np.uint8)
        for channel, letter in enumerate(GLYPHS):
            font = fonts[random.integers(len(fonts))]
            # At 72 dots per inch a point is a pixel; a capital letter is about 0.73 of the font size high.
            font.set_size(size_px * random.uniform(*GLYPH_SIZE), 72)
            font.set_text(letter, random.uniform(-GLYPH_TILT_DEGREES, GLYPH_TILT_DEGREES))
            font.draw_glyphs_to_bitmap(antialiased=True)
            image = np.asarray(font.get_image())[:size_px, :size_px]
            top, left = (random.integers(size_px - length + 1) for length in image.shape)
            frame[channel, top : top + image.shape[0], left : left + image.shape[1]] = image
        return frame

    return draw


def _fonts() -> list[Any]:
    spec = importlib.util.find_spec("matplotlib")
    folders = [] if spec is None else [Path(at) for at in spec.submodule_search_locations or ()]
    files = sorted(file for folder in folders for file in (folder / "mpl-data/fonts/ttf").glob("DejaVuS*.ttf"))
    files = [file for file in files if "Display" not in file.name]  # mathematical signs only
    if not files:
        raise DataError(
            "synthetic glyphs are drawn with matplotlib and its DejaVu fonts, which are not installed: "
            "run `pip install matplotlib`"
        )
    library = importlib.import_module("matplotlib.ft2font")
    return [library.FT2Font(str(file)) for file in files]


class _Generator(NamedTuple):
    prepare: Callable[[int], Callable[[np.random.Generator], NDArray[Any]]]
    channel_names: tuple[str, ...]
    default: _Request
    smallest_px: int


_CRITTER_NAMES = ("critters 1", "critters 2")
_GENERATORS = {
    "critters-n0": _Generator(lambda size: _critters(0.0, size), _CRITTER_NAMES, _Request(1000, 0, 256), 96),
    "critters-n25": _Generator(lambda size: _critters(0.1, size), _CRITTER_NAMES, _Request(1000, 0, 256), 96),
    "glyphs": _Generator(_glyphs, ("letter A", "letter B"), _Request(1000, 0, 64), 16),
}
