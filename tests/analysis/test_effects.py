"""Effect sizes, corrections and intervals against planted effects and other implementations."""

import numpy as np
import pytest
from scipy.stats import chi, norm, ttest_rel
from statsmodels.stats.multitest import multipletests

from analysis.effects import crossed_interval, effect_size, holm, level_effects, paired_p
from analysis.records import StudyRecord
from analysis.statistics import summarise
from tests.analysis.planted import PSNR, noise, planted_study


def test_d_z_is_mean_over_deviation_of_the_differences() -> None:
    found = effect_size([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.n, found.d_z) == (3, 2.0)
    assert found.interval[0] < 2.0 < found.interval[1]


def test_the_interval_of_d_z_holds_the_truth_in_95_of_100_studies() -> None:
    generator = np.random.default_rng(1)
    found = [effect_size(generator.normal(1.0, 1.0, size=6).tolist()) for _ in range(200)]
    held = [item.interval[0] <= 1.0 <= item.interval[1] for item in found if item is not None]
    assert np.mean(held) == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("n", range(2, 11))
def test_the_interval_of_d_z_is_that_of_the_noncentral_t_however_clear_the_difference(n: int) -> None:
    spread = np.linspace(-1, 1, n)
    unit = spread / spread.std(ddof=1)
    sizes = 10 ** np.linspace(-3, 6, 37)
    edges = []
    for t in [*-sizes[::-1], 0.0, *sizes]:
        found = effect_size((unit + t / np.sqrt(n)).tolist())
        assert found is not None
        edges.append(found.interval)
        for edge, level in zip(found.interval, (0.975, 0.025), strict=True):
            # P(T < t) with T = (Z + shift) / S, by the normal Z: scipy's own is NaN for many of them.
            assert _below(t, n - 1, edge * np.sqrt(n)) == pytest.approx(level, abs=2e-3 if abs(t) < 0.1 else 1e-4)
    assert np.isfinite(edges).all()
    assert (np.diff(edges, axis=0) >= 0).all()


def _below(t: float, degrees: int, shift: float) -> float:
    """Return the noncentral t distribution at `t`, integrated over the normal part."""
    if t < 0:
        return 1 - _below(-t, degrees, -shift)
    if t == 0:
        return float(norm.cdf(-shift))
    z = np.linspace(-9, 9, 20_001)
    return float(np.trapezoid(norm.pdf(z) * chi.sf(np.sqrt(degrees) * (z + shift) / t, degrees), z))


@pytest.mark.parametrize("differences", [[], [1.0], [2.0, 2.0, 2.0]])
def test_what_has_no_spread_has_no_effect_size(differences: list[float]) -> None:
    assert effect_size(differences) is None
    assert paired_p(differences) is None


def test_p_is_that_of_the_paired_t_test() -> None:
    first, second = np.random.default_rng(2).normal(size=(2, 8))
    assert paired_p((first - second).tolist()) == pytest.approx(ttest_rel(first, second).pvalue)


def test_holm_corrects_as_statsmodels_does() -> None:
    values = np.random.default_rng(3).uniform(0, 0.05, size=12).tolist()
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist())
    assert holm([0.01, None, 0.04]) == [0.02, None, 0.04]
    assert holm([]) == []


def test_the_bootstrap_interval_holds_the_mean_in_about_95_of_100_studies() -> None:
    generator = np.random.default_rng(4)
    intervals = [summarise(generator.normal(30, 1, size=20).tolist()).interval for _ in range(150)]
    held = [low <= 30 <= high for low, high in filter(None, intervals)]
    assert 0.87 <= np.mean(held) <= 0.99


def test_the_crossed_interval_sees_the_spread_of_seeds_and_of_frames() -> None:
    generator = np.random.default_rng(5)
    seeds, frames = generator.normal(0, 1, size=(12, 1)), generator.normal(0, 1, size=(1, 12))
    both, seeds_only = crossed_interval(seeds + frames), crossed_interval(seeds + 0 * frames)
    assert both is not None
    assert seeds_only is not None
    assert both[1] - both[0] > 1.2 * (seeds_only[1] - seeds_only[0])
    assert crossed_interval(seeds) is None


@pytest.fixture(scope="module")
def planted() -> StudyRecord:
    """Return a study in which LC depth gains 1 dB a level, seeds differ by 5 dB, and patch size does nothing."""
    return planted_study(
        lambda settings, seed: (
            settings["model.lc_depth"] + 5 * seed
            + noise({name: settings[name] for name in ("model.lc_depth", "model.patch_px")}, seed)
        ),
        train={"model.lc_depth": (0, 1, 2), "model.patch_px": (64, 128)},
        seeds=4,
    )  # fmt: skip


def test_pairing_by_seed_and_other_factors_finds_the_planted_gain(planted: StudyRecord) -> None:
    one, two = level_effects(planted, "model.lc_depth", PSNR)
    assert (one.level, two.level, one.reference) == (1, 2, 0)
    assert one.difference.summary.mean == pytest.approx(1, abs=0.06)
    assert two.difference.summary.mean == pytest.approx(2, abs=0.06)
    assert one.difference.summary.n == two.difference.summary.n == 4
    assert two.p_holm is not None
    assert two.p_holm < 0.001
    assert two.size is not None
    assert two.size.interval[0] > 1


def test_a_factor_without_effect_is_not_found(planted: StudyRecord) -> None:
    (effect,) = level_effects(planted, "model.patch_px", PSNR)
    assert abs(effect.difference.summary.mean) < 0.1
    assert effect.p_holm is not None
    assert effect.p_holm > 0.05


def test_pruned_trials_are_no_part_of_any_mean(planted: StudyRecord) -> None:
    trials = tuple(
        trial._replace(state="pruned") if trial.settings["model.lc_depth"] == 2 else trial for trial in planted.trials
    )
    assert [effect.level for effect in level_effects(planted._replace(trials=trials), "model.lc_depth", PSNR)] == [1]


def test_runs_without_a_partner_are_counted(planted: StudyRecord) -> None:
    rows = tuple(row for row in planted.evaluations if (row.settings["model.lc_depth"], row.seed) != (0, 3))
    one, _ = level_effects(planted._replace(evaluations=rows), "model.lc_depth", PSNR)
    assert (one.difference.summary.n, one.difference.unpaired) == (3, 2)
