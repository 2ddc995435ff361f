"""Studies of several kinds of images: what belongs to the images is never compared, and each has a name of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.comparison import effects, study_scores
from analysis.figures import FIGURES, factors, lc_gain, learning_curves, memory, panels, parallel
from analysis.figures.dots import wrap_names
from analysis.records import NotVaried, StudyRecord
from analysis.style import draw_and_save
from analysis.tasks import network_factors, task_factors, task_name
from analysis.verdict import verdict
from tests.analysis.planted import planted_study
from usplit_core.settings import Setting

#: Path, axes and border of two data sets.
DATA_SETS = (("critters.tif", None, "constant"), ("cells.tif", "NYXC", "reflect"))
FACTORS = ("data.path", "data.axes", "data.border")


def _score(settings: Mapping[str, Any], seed: int) -> float:
    hard = settings["data.path"] == "cells.tif"
    return float((25 if hard else 40) + 0.1 * seed + (0.3 if hard else 0.5) * (settings["model.lc_depth"] > 0))


@pytest.fixture(scope="module")
def two_data_sets() -> StudyRecord:
    """Return a study of two data sets, each with its own axes and border, and two networks."""
    levels = {name: tuple(row[index] for row in DATA_SETS) for index, name in enumerate(FACTORS)}
    crossed = planted_study(_score, train={**levels, "model.lc_depth": (0, 2)})
    return _only(crossed, lambda settings: tuple(settings[name] for name in FACTORS) in DATA_SETS)


def _only(record: StudyRecord, wanted: Any) -> StudyRecord:
    trials = tuple(trial for trial in record.trials if wanted(trial.settings))
    kept = {trial.fingerprint for trial in trials}
    return record._replace(trials=trials, evaluations=tuple(row for row in record.evaluations if row.trial in kept))


def test_settings_that_follow_from_the_images_are_no_part_of_the_network(two_data_sets: StudyRecord) -> None:
    assert task_factors(two_data_sets) == FACTORS
    assert network_factors(two_data_sets) == ("model.lc_depth",)
    found = verdict(two_data_sets)
    assert found.difference is not None
    assert found.difference.summary.mean == pytest.approx(0.4)
    assert [gain.task for gain in found.tasks] == ["critters.tif", "cells.tif"]
    assert study_scores([two_data_sets])[0].best == found.best
    assert {effect.factor for effect in effects(two_data_sets)} == {"model.lc_depth"}


def test_one_network_on_several_images_is_one_series(two_data_sets: StudyRecord) -> None:
    data = lc_gain.data(two_data_sets)
    assert [(dot.row, dot.series) for dot in data.dots] == [
        ("critters.tif", "LC depth 2"), ("cells.tif", "LC depth 2"),
    ]  # fmt: skip


def test_figures_tell_cells_apart_by_the_images_and_not_by_what_follows_from_them(two_data_sets: StudyRecord) -> None:
    labels = [item.label for item in parallel.data(two_data_sets).coordinates]
    assert labels == ["images", "LC depth", "scale-invariant PSNR (dB)"]
    depths = panels.scores_by(two_data_sets, ["model.lc_depth"])
    assert [curve.label for curve in depths.panels[0].curves] == ["images critters.tif", "images cells.tif"]


def test_names_of_several_files_stand_below_each_other() -> None:
    name = "actin-60x-noise2-highsnr.tif + mito-60x-noise2-highsnr.tif\n0 + 1"
    assert wrap_names(name).splitlines() == [
        "actin-60x-noise2-highsnr.tif +", "mito-60x-noise2-highsnr.tif", "0 + 1",
    ]  # fmt: skip


def test_settings_of_the_data_that_vary_on_the_same_images_are_compared() -> None:
    train = {"data.path": ("a.tif", "b.tif"), "data.border": ("reflect", "constant")}
    both = planted_study(lambda settings, seed: seed + (settings["data.border"] == "constant"), train=train)
    assert task_factors(both) == ("data.path",)
    assert network_factors(both) == ("data.border",)
    alone = planted_study(lambda _, seed: seed, train={"data.border": ("reflect", "constant")})
    assert network_factors(alone) == ("data.border",)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("/z/cells.tif", "/z/critters.tif"), ["cells.tif", "critters.tif"]),
        (("/day/1/cells.tif", "/day/2/cells.tif"), ["1/cells.tif", "2/cells.tif"]),
        ((("/z/a.tif", "/z/b.tif"), ("/y/a.tif", "/y/b.tif")), ["z/a.tif + z/b.tif", "y/a.tif + y/b.tif"]),
        (("synthetic:critters-n0", "package:some/cells.tif"), ["critters-n0", "cells.tif"]),
        (("/cells.tif", "cells.tif"), ["/cells.tif", "cells.tif"]),
    ],
)
def test_images_are_named_with_no_more_folders_than_tell_them_apart(
    paths: tuple[Setting, ...], names: list[str]
) -> None:
    record = planted_study(lambda *_: 30.0, train={"data.path": paths})
    assert [task_name(record, {"data.path": path, "data.axes": None}) for path in paths] == names


def test_channels_of_one_file_are_named_below_it() -> None:
    record = planted_study(lambda *_: 30.0, train={"data.path": ("a.tif", "b.tif"), "data.channels": ((0, 1), (2, 0))})
    assert task_name(record, {"data.path": "a.tif", "data.channels": (2, 0)}) == "a.tif\n2 + 0"
    assert task_name(record, {}) == ""


def test_figures_compare_no_images_and_name_them_without_folders() -> None:
    paths = tuple(f"/a/long/way/to/the/images/of/day_{day}.tif" for day in range(3))
    record = planted_study(
        lambda *_: 30.0,
        train={"data.path": paths, "model.filters": (16, 32)},
        costs=lambda _: {"cost/peak_device_bytes": 1e9},
    )
    (panel,) = factors.data(record).panels
    assert panel.axis.factor == "model.filters"
    assert [curve.label for curve in panel.curves] == [f"images day_{day}.tif" for day in range(3)]
    images = parallel.data(record).coordinates[0]
    assert [text for _, text in images.ticks] == ["day_0.tif", "day_1.tif", "day_2.tif"]
    for figure in (learning_curves.data(record).cells, [dot.row for dot in memory.data(record).dots]):
        assert not any("/" in text for text in figure)


def test_where_only_images_vary_there_is_nothing_to_compare() -> None:
    with pytest.raises(NotVaried, match="other than the images"):
        factors.data(planted_study(lambda *_: 30.0, train={"data.path": ("a.tif", "b.tif")}))


@pytest.mark.parametrize("name", ["memory", "kl_levels"])
def test_names_of_files_with_dollar_signs_are_no_formulas(name: str, tmp_path: Path) -> None:
    costs = {"cost/peak_device_bytes": 1e9, "train/kl/0": 1.0, "train/kl/1": 200.0}
    record = planted_study(lambda *_: 30.0, train={"data.path": ("a$\\bad^$.tif", "b.tif")}, costs=lambda _: costs)
    module = FIGURES[name]
    data = module.data(record)
    drawn: list[Figure] = []

    def draw(figure: Figure) -> None:
        module.draw(data, figure)
        drawn.append(figure)

    assert draw_and_save(draw, width_mm=88, height_mm=60, stem=tmp_path / name).pdf.exists()
    axes = drawn[0].axes[0]
    assert any("a$\\bad^$.tif" in text for text in [axes.get_title("left"), *_texts(axes.get_yticklabels())])
    assert not any("mathdefault" in text for text in _texts(axes.get_yticklabels()))


def _texts(labels: list[Text]) -> list[str]:
    return [label.get_text() for label in labels]
