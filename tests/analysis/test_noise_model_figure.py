"""The figure of a noise model shows all levels of the signal, and histograms from dark to bright."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.figures import noise_model
from analysis.style import draw_and_save


class Fit(NamedTuple):
    signal: NDArray[np.float64]
    measured: NDArray[np.float64]
    fitted: NDArray[np.float64]
    edges: NDArray[np.float64]
    measured_density: NDArray[np.float64]
    fitted_density: NDArray[np.float64]


def fit(levels: int) -> Fit:
    signal = np.linspace(10, 100, levels)
    edges = signal[:, None] + np.linspace(-30, 30, 21)
    density = np.full((levels, 20), 1 / 60)
    return Fit(signal, np.sqrt(signal), 1.01 * np.sqrt(signal), edges, density, density)


@pytest.mark.parametrize(("levels", "shown"), [(12, [0, 4, 7, 11]), (3, [0, 1, 2]), (1, [0])])
def test_histograms_are_spread_over_the_signal(levels: int, shown: list[int]) -> None:
    channel = noise_model.data(["actin"], [fit(levels)]).channels[0]
    assert channel.name == "actin"
    assert channel.signal.tolist() == fit(levels).signal.tolist()
    assert [histogram.signal for histogram in channel.histograms] == fit(levels).signal[shown].tolist()


def test_there_is_a_row_a_structure_channel(tmp_path: Path) -> None:
    data = noise_model.data(["actin", "tubulin"], [fit(12), fit(1)])
    width_mm, height_mm = noise_model.size_mm(data)
    files = draw_and_save(
        lambda figure: noise_model.draw(data, figure), width_mm=width_mm, height_mm=height_mm, stem=tmp_path / "noise"
    )
    assert files.png.stat().st_size > 0
    assert height_mm == 2 * noise_model.size_mm(noise_model.data(["actin"], [fit(1)]))[1]
    assert "measured (dots) and fitted (line)" in noise_model.caption(data)
