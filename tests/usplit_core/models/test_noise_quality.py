import numpy as np
import pytest
import torch

from usplit_core.errors import DataError
from usplit_core.models.noise_model import NoiseModel, fit_noise_model, standard_deviation
from usplit_core.models.noise_quality import assess

GAIN, READOUT = 2.0, 5.0


def camera(signal: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return what a camera shows: shot noise of `GAIN` intensities an electron, and readout noise."""
    random = np.random.default_rng(seed)
    return GAIN * random.poisson(signal / GAIN) + random.normal(0, READOUT, signal.shape)


def true_deviation(signal: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(GAIN * signal + READOUT**2))


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    """Return a signal of two structure channels that takes all values of its range equally often."""
    return np.random.default_rng(1).uniform([[[[20.0]], [[10.0]]]], [[[[400.0]], [[200.0]]]], (4, 2, 96, 96))


@pytest.fixture(scope="module")
def model(signal: np.ndarray) -> NoiseModel:
    return fit_noise_model(signal, camera(signal), steps=500)


def test_the_fitted_deviation_is_that_of_shot_and_readout_noise(model: NoiseModel) -> None:
    levels = np.array([[[30.0, 100.0, 200.0, 350.0]], [[15.0, 50.0, 100.0, 180.0]]])  # (C, 1, X)
    fitted = standard_deviation(model, torch.from_numpy(levels).float())
    assert fitted.numpy() == pytest.approx(true_deviation(levels), rel=0.06)


def test_a_good_fit_is_told_level_by_level(model: NoiseModel, signal: np.ndarray) -> None:
    for fit in assess(model, signal, camera(signal)):
        assert fit.signal.shape == (12,)
        assert fit.measured == pytest.approx(true_deviation(fit.signal), rel=0.05)
        assert fit.fitted == pytest.approx(fit.measured, rel=0.1)
        assert fit.misfit < 0.1
        assert fit.relative_bias < 0.1
        assert fit.gain > 0.03
        for densities in (fit.measured_density, fit.fitted_density):
            assert (densities * np.diff(fit.edges)).sum(axis=1) == pytest.approx(np.ones(12), abs=0.01)
        assert np.abs(fit.measured_density - fit.fitted_density).max() < 0.3 * fit.fitted_density.max()


def test_a_signal_that_is_no_mean_and_noise_of_another_width_are_told(model: NoiseModel, signal: np.ndarray) -> None:
    shifted = assess(model, signal, camera(signal) + 20)[0]
    assert shifted.relative_bias > 1
    assert shifted.bias == pytest.approx(np.full(12, 20), abs=3)
    wide = assess(model, signal, signal + 2 * (camera(signal) - signal))[0]
    assert wide.misfit == pytest.approx(0.5, abs=0.1)


def test_few_pixels_are_one_level(model: NoiseModel, signal: np.ndarray) -> None:
    few = signal[:1, :, :5, :5]
    assert assess(model, few, camera(few))[0].signal == pytest.approx([few[:, 0].mean()])


def test_unlike_images_are_refused(model: NoiseModel, signal: np.ndarray) -> None:
    with pytest.raises(DataError, match="of one shape"):
        assess(model, signal, signal[:1])
