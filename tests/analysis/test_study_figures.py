"""Figures of ablations, costs and searches: planted numbers come out, and what is not varied is no figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures import (
    context,
    draw_figures,
    factor_importance,
    kl_levels,
    latent_depth,
    lc_gain,
    memory,
    optimisation,
    panels,
    parallel,
    pareto,
    patch_size,
    sample_count,
)
from analysis.figures.curves import Axis, Curve, CurvePoint, draw_curves
from analysis.records import MissingRuns, NotVaried, Point, StudyRecord
from analysis.statistics import summarise
from tests.analysis.planted import PSNR, planted_study


def _score(settings: Mapping[str, Any], seed: int) -> float:
    gain = {0: 0.0, 1: 1.0, 2: 1.5}[settings["model.lc_depth"]]
    return float(
        30 + gain + (settings["model.patch_px"] == 128) * 0.25 + 0.1 * seed + 0.01 * settings["tiling.samples"]
    )


def _costs(settings: Mapping[str, Any]) -> dict[str, float]:
    size = 1e9 * (1 + settings["model.lc_depth"]) * (settings["model.patch_px"] / 64) ** 2
    return {"cost/peak_device_bytes": size, **{f"train/kl/{level}": 1.0 + level for level in range(3)}}


@pytest.fixture(scope="module")
def ablation() -> StudyRecord:
    """Return a study of images x LC depth x patch size, each scored with one and with five samples."""
    return planted_study(
        _score,
        train={"data.path": ("a.tif", "b.tif"), "model.lc_depth": (0, 1, 2), "model.patch_px": (64, 128)},
        evaluate={"tiling.samples": (1, 5)},
        costs=_costs,
    )


@pytest.fixture(scope="module")
def search(ablation: StudyRecord) -> StudyRecord:
    """Return twelve trials with drawn learning rates, of which every fourth was pruned."""
    rates = [10 ** (-5 + number / 4) for number in range(12)]
    trials = tuple(
        trial._replace(
            settings={**trial.settings, "model.lc_depth": 0, "train.learning_rate": rate},
            state="pruned" if number % 4 == 3 else "finished",
            metrics={**trial.metrics, "validation/psnr_db": 20.0 + (7 * number) % 12},
        )
        for number, (trial, rate) in enumerate(zip(ablation.trials[:12], rates, strict=True))
    )
    rows = tuple(row for row in ablation.evaluations if row.trial in {trial.fingerprint for trial in trials})
    return ablation._replace(
        train={"train.learning_rate": ()}, trials=trials, evaluations=rows, objective="validation/psnr_db"
    )


def test_the_gain_of_context_is_taken_over_the_best_network_without_it(ablation: StudyRecord) -> None:
    data = lc_gain.data(ablation)
    assert [dot.row for dot in data.dots] == ["a.tif"] * 4 + ["b.tif"] * 4
    assert {found.network for found in data.references} == {"LC depth 0, patch size 128 px"}
    gains = {dot.series: dot.summary.mean for dot in data.dots}
    assert gains["LC depth 1, patch size 64 px"] == pytest.approx(0.75)
    assert gains["LC depth 2, patch size 128 px"] == pytest.approx(1.5)
    assert data.mean == pytest.approx(1.5)
    assert "n = 2 tasks" in lc_gain.caption(data)


def test_without_both_kinds_of_networks_there_is_no_gain(ablation: StudyRecord) -> None:
    trials = tuple(trial for trial in ablation.trials if trial.settings["model.lc_depth"] == 0)
    with pytest.raises(NotVaried):
        lc_gain.data(ablation._replace(trials=trials))


def test_each_level_of_context_adds_what_was_planted(ablation: StudyRecord) -> None:
    data = context.data(ablation)
    assert [dot.row.splitlines() for dot in data.dots[:2]] == [
        ["patch 64 px: 64–128 px", "at 1/2"], ["patch 64 px: 128–256 px", "at 1/4"],
    ]  # fmt: skip
    assert [dot.summary.mean for dot in data.dots] == pytest.approx([1.0, 0.5, 1.0, 0.5])
    assert "project's own" in context.caption(data)


def test_patch_sizes_come_with_their_memory(ablation: StudyRecord) -> None:
    data = patch_size.data(ablation)
    assert data.memory_metric is not None
    assert data.memory_metric.key == "cost/peak_device_bytes"
    assert [curve.label for curve in data.memory] == [curve.label for curve in data.curves]
    assert [point.summary.mean for point in data.memory[0].points] == [1e9, 4e9]
    figure = Figure()
    patch_size.draw(data, figure)
    assert [ax.get_ylabel() for ax in figure.axes] == ["scale-invariant PSNR (dB)", "peak device memory (GB)"]


def test_patch_sizes_are_drawn_without_memory_too(ablation: StudyRecord) -> None:
    bare = tuple(trial._replace(metrics={}) for trial in ablation.trials)
    data = patch_size.data(ablation._replace(trials=bare))
    assert data.memory == ()
    patch_size.draw(data, Figure())


def test_memory_has_a_row_for_each_combination(ablation: StudyRecord) -> None:
    data = memory.data(ablation)
    assert len(data.dots) == 12
    assert data.dots[-1].summary.mean == 12e9
    assert "n = 3 seeds a mark" in memory.caption(data)


def test_the_front_holds_what_nothing_else_beats(ablation: StudyRecord) -> None:
    assert pareto.front_of([(1, 1), (2, 0), (0, 2), (0, 1), (2, 0)]) == {0, 1, 2}
    data = pareto.data(ablation)
    # Small patches with more context beat large patches without it, at less memory.
    assert {cell.label for cell in data.cells if cell.on_front and "a.tif" in cell.label} == {
        "images a.tif, LC depth 0, patch size 64 px", "images a.tif, LC depth 1, patch size 64 px",
        "images a.tif, LC depth 2, patch size 64 px", "images a.tif, LC depth 2, patch size 128 px",
    }  # fmt: skip


def test_the_front_of_two_objectives_has_them_as_axes(ablation: StudyRecord) -> None:
    two = ablation._replace(objectives=("validation/psnr_db", "cost/train_seconds"))
    data = pareto.data(two)
    assert (data.score.key, data.cost.key) == ("validation/psnr_db", "cost/train_seconds")


def test_scores_by_number_of_samples(ablation: StudyRecord) -> None:
    data = sample_count.data(ablation)
    (panel,) = data.panels
    assert panel.axis.levels == (1, 5)
    means = [point.summary.mean for point in panel.curves[0].points]
    assert np.diff(means) == pytest.approx([0.04])


def test_panels_share_a_legend_only_where_they_show_the_same_curves(ablation: StudyRecord) -> None:
    several = panels.scores_by(ablation, ["model.lc_depth", "data.path"])
    figure = Figure()
    panels.draw(several, figure)
    assert figure.legends == []
    for ax, panel in zip(figure.axes, several.panels, strict=True):
        legend = ax.get_legend()
        assert legend is not None
        assert len(legend.get_texts()) == len(panel.curves)
    same = several._replace(panels=several.panels[:1] * 2)
    figure = Figure()
    panels.draw(same, figure)
    assert len(figure.legends) == 1
    assert [ax.get_legend() for ax in figure.axes] == [None, None]
    assert panels.size_mm(same)[1] < panels.size_mm(several)[1]


def test_the_importance_is_named_by_its_method(ablation: StudyRecord, search: StudyRecord) -> None:
    (panel,) = factor_importance.data(ablation).panels
    assert panel.method == "ANOVA"
    assert panel.terms[0].label == "LC depth"
    with pytest.raises(MissingRuns, match="too few"):
        factor_importance.data(search)


def test_parallel_coordinates_have_a_line_for_each_combination(ablation: StudyRecord) -> None:
    data = parallel.data(ablation)
    assert data.places.shape == (24, 5)
    assert (data.combinations, data.seeds) == (24, (3, 3))
    assert (data.places.min(), data.places.max()) == (0, 1)
    assert [place for place, _ in data.coordinates[1].ticks] == [0, 0.5, 1]
    assert "n = 3 seeds a line" in parallel.caption(data)


def test_the_progress_of_a_search_counts_finished_trials_only(search: StudyRecord) -> None:
    data = optimisation.data(search)
    assert [attempt.number for attempt in data.attempts] == list(range(1, 13))
    assert [attempt.value for attempt in data.attempts] == [20.0 + (7 * number) % 12 for number in range(12)]
    # 29 of trial 4 was pruned: it is shown, but it is not the best.
    assert data.best == ((1, 20.0), (2, 27.0), (6, 31.0))


def test_a_trial_that_is_far_off_leaves_room_for_the_others(search: StudyRecord) -> None:
    diverged, *others = (row for row in search.evaluations)
    key = search.objective
    far = diverged._replace(metrics={**diverged.metrics, key: -400.0})
    data = optimisation.data(search._replace(evaluations=(far, *others)))
    assert [attempt.value for attempt in data.beyond] == [-400.0]
    assert data.worst_shown > -50
    assert "Arrows: 1 so far off" in optimisation.caption(data)
    assert optimisation.data(search).beyond == ()


def test_depths_that_a_search_drew_are_not_compared_with_all_else_equal(search: StudyRecord) -> None:
    drawn = search._replace(train={**search.train, "model.lc_depth": ()})
    trials = tuple(
        trial._replace(settings={**trial.settings, "model.lc_depth": number % 3})
        for number, trial in enumerate(drawn.trials)
    )
    with pytest.raises(NotVaried, match="draws everything anew"):
        context.data(drawn._replace(trials=trials))


def test_a_factorial_study_is_no_search(ablation: StudyRecord) -> None:
    with pytest.raises(NotVaried):
        optimisation.data(ablation)
    with pytest.raises(NotVaried):
        latent_depth.data(ablation)


def test_latent_levels_have_a_line_each(ablation: StudyRecord) -> None:
    data = kl_levels.data(ablation)
    assert len(data.panels) == 4
    assert data.left_out == 8
    assert all(panel.n == 3 and len(panel.levels) == 3 for panel in data.panels)
    bare = tuple(trial._replace(metrics={}) for trial in ablation.trials)
    with pytest.raises(NotVaried):
        kl_levels.data(ablation._replace(trials=bare))


def test_powers_are_written_as_such_on_the_axis(ablation: StudyRecord) -> None:
    data = kl_levels.data(ablation)
    for scale, expected in ((1e-3, "10⁻³"), (1e6, "10⁶"), (1.0, "10")):
        values = [scale, 10 * scale, 100 * scale]
        history = tuple(Point(epoch, value) for epoch, value in enumerate(values))
        figure = Figure()
        kl_levels.draw(data._replace(panels=(data.panels[0]._replace(levels=(history,)),)), figure)
        figure.canvas.draw()
        assert expected in [text.get_text() for text in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize("name", ["ablation", "search"])
def test_everything_can_be_drawn_and_says_n(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    results = draw_figures(request.getfixturevalue(name), tmp_path)
    drawn = [result for result in results if result.png]
    assert len(drawn) >= 6
    assert all("(n" in result.caption or "n = " in result.caption for result in drawn if result.name != "kl_levels")
    assert all(PSNR not in result.caption for result in drawn)


def test_no_curve_lies_beyond_the_axis() -> None:
    names = tuple(f"name {number}" for number in range(3))
    points = tuple(CurvePoint(name, (0, 1), (1.0, 2.0), summarise([1.0, 2.0])) for name in names)
    ax = Figure().subplots()
    draw_curves(ax, Axis("model.variant", "variant", names, sampled=False), [Curve(str(n), points) for n in range(7)])
    low, high = ax.get_xlim()
    places = [float(place) for line in ax.lines for place in np.asarray(line.get_xdata(), dtype=float)]
    assert low < min(places)
    assert max(places) < high
