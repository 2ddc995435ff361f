"""Which evaluation of a study is its best."""

import math

import pytest

from study.commands.best import best_evaluation
from tests.analysis.planted import PSNR, planted_study


@pytest.mark.parametrize("place", [0, 3, 5])
@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_never_the_best(place: int, score: float) -> None:
    record = planted_study(lambda settings, _: 30 + settings["model.lc_depth"], train={"model.lc_depth": (0, 2, 4)},
                           seeds=2)  # fmt: skip
    rows = list(record.evaluations)
    rows[place] = rows[place]._replace(metrics={PSNR: score})
    found = best_evaluation(record._replace(evaluations=tuple(rows)))
    assert found is not None
    assert found.score == 34
    lost = tuple(row._replace(metrics={PSNR: score}) for row in rows)
    assert best_evaluation(record._replace(evaluations=lost)) is None
