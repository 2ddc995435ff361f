"""Figures are compared by their data, not by pixels."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures import (
    FIGURES,
    calibration,
    draw_figures,
    factors,
    lc_depth,
    learning_curves,
    padding_curves,
    qualitative,
    seams,
)
from analysis.figures.curves import MOST_CURVES, Curve, CurvePoint, keep_best
from analysis.figures.qualitative import scale_invariant_psnr
from analysis.records import Evaluation, MissingRuns, NotVaried, Sample, Settings, StudyRecord
from analysis.statistics import summarise
from tests.analysis.planted import planted_study
from tests.analysis.tiny_study import EPOCHS
from usplit_core.vocabulary import HEADLINE


def with_filters(record: StudyRecord) -> StudyRecord:
    """Return the tiny study as if it had varied the filters instead of the LC depth."""

    def changed(settings: Settings) -> Settings:
        return {**settings, "model.lc_depth": 0, "model.filters": 64 if settings["model.lc_depth"] == 0 else 128}

    return record._replace(
        train={"model.filters": (64, 128)},
        trials=tuple(trial._replace(settings=changed(trial.settings)) for trial in record.trials),
        evaluations=tuple(row._replace(settings=changed(row.settings)) for row in record.evaluations),
    )


def test_padding_curves_hold_every_padding_seed_and_interval(record: StudyRecord) -> None:
    data = padding_curves.data(record)
    assert [panel.title for panel in data.panels] == ["inner tiling", "outer tiling"]
    assert [curve.label for curve in data.panels[0].curves] == ["LC depth 0", "LC depth 2"]
    points = data.panels[0].curves[0].points
    assert [point.level for point in points] == [0, 16]
    assert all(point.seeds == (0, 1) and point.summary.n == 2 for point in points)
    assert points[1].values == pytest.approx((30.4, 30.6))
    assert points[1].summary.interval == pytest.approx((30.4, 30.6))
    assert data.unfinished == 1


def test_the_lc_depth_figure_is_drawn_at_one_tiling(record: StudyRecord) -> None:
    data = lc_depth.data(record)
    assert data.tiling == "inner tiling, 16 px padding"
    (panel,) = data.panels
    assert (panel.axis.label, panel.axis.levels) == ("LC depth", (0, 2))
    assert [point.summary.mean for point in panel.curves[0].points] == pytest.approx([30.5, 32.25])
    assert "n = 2 seeds a point" in lc_depth.caption(data)
    assert "1 unfinished trial." in lc_depth.caption(data)


def test_any_train_factor_gets_a_panel(record: StudyRecord) -> None:
    (panel,) = factors.data(with_filters(record)).panels
    assert (panel.axis.label, panel.axis.levels) == ("filters", (64, 128))
    with pytest.raises(NotVaried, match=r"fewer than two levels of model\.lc_depth"):
        lc_depth.data(with_filters(record))


def test_values_drawn_from_a_range_are_not_joined_and_get_few_ticks(record: StudyRecord) -> None:
    rates = [10 ** (-5 + i / 10) for i in range(30)]
    trials = [
        record.finished[0]._replace(
            fingerprint=f"t{i}", settings={**record.finished[0].settings, "train.learning_rate": r}
        )
        for i, r in enumerate(rates)
    ]
    evaluations = [
        record.evaluations[0]._replace(
            trial=f"t{i}", settings={**record.evaluations[0].settings, "train.learning_rate": r}
        )
        for i, r in enumerate(rates)
    ]
    sampled = record._replace(train={"train.learning_rate": ()}, trials=tuple(trials), evaluations=tuple(evaluations))
    data = factors.data(sampled)
    (panel,) = data.panels
    assert panel.axis.sampled
    assert len(panel.curves) == 1
    assert len(panel.curves[0].points) == 30
    figure = Figure()
    factors.draw(data, figure)
    assert figure.axes[0].get_xticklabels()[0].get_text() == "1e-05"
    assert len(figure.axes[0].get_xticks()) == 5
    assert figure.axes[0].lines[-1].get_linestyle() == "None"
    assert learning_curves.data(sampled).cells == ("",)


def test_learning_curves_have_one_line_a_trial(record: StudyRecord) -> None:
    data = learning_curves.data(record)
    assert data.cells == ("LC depth 0", "LC depth 2")
    assert sorted((line.cell, line.seed, line.state) for line in data.lines) == [
        ("LC depth 0", 0, "finished"), ("LC depth 0", 1, "finished"), ("LC depth 2", 0, "finished"),
        ("LC depth 2", 1, "finished"), ("LC depth 2", 7, "failed"),
    ]  # fmt: skip
    assert {len(line.history) for line in data.lines} == {1, EPOCHS}


def test_sample_images_show_one_seed_of_every_model(record: StudyRecord) -> None:
    data = qualitative.data(record)
    assert data.channels == ("actin", "nuclei")
    assert data.seed == 0
    assert [column.label for column in data.columns] == ["LC depth 0", "LC depth 2"]
    assert all(np.diff([column.psnr_db[channel] for column in data.columns])[0] > 5 for channel in range(2))


def test_sample_images_of_one_model_show_its_tilings(record: StudyRecord) -> None:
    trials = tuple(trial for trial in record.trials if trial.settings["model.lc_depth"] == 0)
    data = qualitative.data(record._replace(trials=trials))
    assert [column.label for column in data.columns] == [
        "tiling inner, padding 0 px", "tiling inner, padding 16 px",
        "tiling outer, padding 0 px", "tiling outer, padding 16 px",
    ]  # fmt: skip


def _sampled(row: Evaluation, sample: Sample) -> Evaluation:
    return row._replace(sample=lambda: sample)


def test_sample_images_show_no_prediction_beside_the_target_of_another() -> None:
    y, x = np.mgrid[0:16, 0:16].astype(float)
    images = {"a.tif": np.stack([x, y]), "b.tif": np.stack([y * x, 255 - x])}
    targets = {name: Sample(image.mean(axis=0), image + 1, image) for name, image in images.items()}
    two = planted_study(lambda *_: 30.0, train={"data.path": tuple(images), "model.lc_depth": (0, 2)})
    rows = tuple(_sampled(row, targets[str(row.settings["data.path"])]) for row in two.evaluations)
    data = qualitative.data(two._replace(evaluations=rows))
    assert [column.label for column in data.columns] == ["LC depth 0", "LC depth 2"]
    assert "a.tif" in qualitative.caption(data)
    assert all((column.prediction == data.target + 1).all() for column in data.columns)


def test_sample_images_leave_out_models_that_were_given_other_pixels(record: StudyRecord) -> None:
    target = np.random.default_rng(0).normal(size=(2, 8, 8))
    own = Sample(target[0], target, target)
    other = {"model.lc_depth": 2}
    for changed in (own._replace(input=target[1]), own._replace(target=target[::-1])):
        rows = tuple(_sampled(row, changed if other.items() <= row.settings.items() else own)
                     for row in record.evaluations)  # fmt: skip
        data = qualitative.data(record._replace(evaluations=rows))
        assert [column.label for column in data.columns] == ["LC depth 0"]
        assert "1 model with another input or target" in qualitative.caption(data)
    rounded = own._replace(target=target * (1 + 1e-6))
    rows = tuple(_sampled(row, rounded if other.items() <= row.settings.items() else own) for row in record.evaluations)
    assert len(qualitative.data(record._replace(evaluations=rows)).columns) == 2


def test_a_strip_is_shown_and_scored_by_its_middle(record: StudyRecord) -> None:
    image = np.random.default_rng(0).normal(size=(2, 40, 30))
    tall = np.pad(image, [(0, 0), (60, 60), (0, 0)])
    strip = Sample(tall[0], tall, tall)
    data = qualitative.data(
        record._replace(evaluations=tuple(row._replace(sample=lambda: strip) for row in record.evaluations))
    )
    np.testing.assert_array_equal(data.target, image)


def test_scale_invariant_psnr_does_not_see_gain_and_offset() -> None:
    generator = np.random.default_rng(0)
    target = generator.normal(size=(32, 32))
    prediction = target + 0.1 * generator.normal(size=(32, 32))
    expected = scale_invariant_psnr(target, prediction)
    assert scale_invariant_psnr(target, 7 * prediction + 100) == pytest.approx(expected)
    assert scale_invariant_psnr(10 * target, prediction) == pytest.approx(expected)
    assert scale_invariant_psnr(target, 2 * target) > 200
    assert np.isnan(scale_invariant_psnr(np.ones((4, 4)), target[:4, :4]))


def test_more_curves_than_colours_are_cut_to_the_best() -> None:
    found = [Curve(str(i), (CurvePoint(0, (0,), (float(i),), summarise([float(i)])),)) for i in range(MOST_CURVES + 3)]
    assert set(keep_best([found], HEADLINE)) == {str(i) for i in range(3, MOST_CURVES + 3)}
    # The best of one panel is shown in the other one too.
    lowest, higher = (Curve("0", found[0].points), Curve("0", found[-1].points))
    assert "0" in keep_best([[lowest, *found[1:]], [higher]], HEADLINE)


def test_a_colour_stands_for_the_same_curve_in_all_panels(record: StudyRecord) -> None:
    inner_only = tuple(
        row for row in record.evaluations
        if row.settings["tiling.mode"] == "inner" or row.settings["model.lc_depth"] == 2
    )  # fmt: skip
    data = padding_curves.data(record._replace(evaluations=inner_only))
    assert [[curve.label for curve in panel.curves] for panel in data.panels] == [
        ["LC depth 0", "LC depth 2"],
        ["LC depth 2"],
    ]
    figure = Figure()
    padding_curves.draw(data, figure)
    colours = [
        {str(line.get_label()).partition(" (")[0]: line.get_color() for line in ax.lines if line.get_linestyle() == "-"}
        for ax in figure.axes
    ]
    assert colours[0]["LC depth 2"] == colours[1]["LC depth 2"] != colours[0]["LC depth 0"]


def test_figures_are_written_as_png_and_pdf(record: StudyRecord, tmp_path: Path) -> None:
    results = draw_figures(record, tmp_path)
    assert [result.name for result in results] == list(FIGURES)
    drawn = [result for result in results if result.png and result.pdf]
    assert {result.name for result in drawn} == {
        "qualitative", "lc_gain", "lc_depth", "padding_curves", "seams", "calibration", "factor_importance", "parallel",
        "learning_curves",
    }  # fmt: skip
    assert all(result.missing for result in results if result not in drawn)
    assert {path.name for path in tmp_path.iterdir()} == {f"{r.name}.{end}" for r in drawn for end in ("png", "pdf")}
    assert all(result.png and result.png.read_bytes().startswith(b"\x89PNG") for result in drawn)
    assert all(result.pdf and b"/FontFile2" in result.pdf.read_bytes() for result in drawn)


def test_seams_are_shown_by_padding(record: StudyRecord) -> None:
    data = seams.data(record)
    assert data.metric.key == "test/seam_gradient_ratio"
    assert [panel.title for panel in data.panels] == ["inner tiling", "outer tiling"]
    assert [point.summary.mean for point in data.panels[0].curves[0].points] == pytest.approx([1.505, 1.205])
    figure = Figure()
    seams.draw(data, figure)
    assert [np.asarray(ax.lines[-1].get_ydata()).tolist() for ax in figure.axes] == [[1, 1], [1, 1]]
    assert "no seam is seen" in seams.caption(data)


def test_seams_of_one_padding_are_no_figure(record: StudyRecord) -> None:
    one = tuple(row for row in record.evaluations if row.settings["tiling.padding_px"] == 0)
    with pytest.raises(NotVaried):
        seams.data(record._replace(evaluations=one))


def test_calibration_shows_the_lowest_seed_of_every_model_at_one_tiling(record: StudyRecord) -> None:
    data = calibration.data(record)
    assert (data.tiling, data.seed) == ("inner tiling, 0 px padding", 0)
    assert [panel.channel for panel in data.panels] == ["channel 0", "channel 1"]
    assert [curve.label for curve in data.panels[1].curves] == ["LC depth 0", "LC depth 2"]
    calibrated, too_sure = data.panels[0].curves
    assert calibrated.error == pytest.approx(calibrated.deviation)
    assert too_sure.error == pytest.approx([3 * deviation for deviation in too_sure.deviation])
    assert "seed 0" in calibration.caption(data)


def test_calibration_shows_models_of_the_same_channels_that_have_one(record: StudyRecord) -> None:
    bins = np.stack([[[100.0, 0.1, 0.1], [100.0, 0.2, 0.3]]] * 3)  # (C, bins, 3)
    image = np.zeros((3, 8, 8))
    two, three = (Sample(image[0], image[:c], image[:c], (), bins[:c]) for c in (2, 3))
    empty = two._replace(calibration=bins[:2] * [0, 1, 1])

    def shown(first: Sample, second: Sample) -> calibration.Calibration:
        samples = {0: first, 2: second}
        rows = tuple(_sampled(row, samples[int(str(row.settings["model.lc_depth"]))]) for row in record.evaluations)
        data = calibration.data(record._replace(evaluations=rows))
        calibration.draw(data, Figure())
        return data

    for other in (three, two._replace(channels=("actin", "nuclei"))):
        data = shown(two, other)
        assert [curve.label for curve in data.panels[1].curves] == ["LC depth 0"]
        assert "1 model of other structure channels" in calibration.caption(data)
    assert len(shown(three, two).panels) == 3
    assert [curve.label for curve in shown(empty, two).panels[0].curves] == ["LC depth 2"]
    with pytest.raises(MissingRuns, match="usplit run"):
        shown(empty, empty)


def test_single_predictions_have_no_calibration(record: StudyRecord) -> None:
    single = tuple(row._replace(metrics={"test/ssim": 0.9}) for row in record.evaluations)
    with pytest.raises(NotVaried):
        calibration.data(record._replace(evaluations=single))


def test_an_empty_study_fails_no_figure_and_says_what_to_run(record: StudyRecord, tmp_path: Path) -> None:
    results = draw_figures(record._replace(trials=(), evaluations=()), tmp_path)
    assert all(result.png is None and result.missing for result in results)
    assert all("usplit run" in result.missing for result in results if result.varied)


def test_one_seed_has_no_interval_but_a_figure(record: StudyRecord) -> None:
    single = record._replace(evaluations=tuple(row for row in record.evaluations if row.seed == 0))
    data = lc_depth.data(single)
    assert all(point.summary.interval is None for point in data.panels[0].curves[0].points)
    assert "One seed gives no interval" in lc_depth.caption(data)
    lc_depth.draw(data, Figure())


def test_constant_images_can_be_drawn(record: StudyRecord) -> None:
    flat = Sample(np.zeros((8, 8)), np.zeros((2, 8, 8)), np.zeros((2, 8, 8)))
    data = qualitative.data(
        record._replace(evaluations=tuple(row._replace(sample=lambda: flat) for row in record.evaluations))
    )
    assert np.isnan(data.columns[0].psnr_db).all()
    qualitative.draw(data, Figure())
