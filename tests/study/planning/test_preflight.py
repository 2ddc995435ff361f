"""What is refused before anything is trained."""

from pathlib import Path

import pytest

from study.engine.trial_folder import write_result
from study.errors import StoreError
from study.planning.design import plan_trials
from study.planning.preflight import check_origins
from tests.study.studies import SMALL, make_study

ORIGIN = "0123456789abcdef" * 2


def test_a_training_goes_on_only_from_one_that_the_store_has_finished(tmp_path: Path) -> None:
    asked = make_study(base={**SMALL, "train.continue_from": ORIGIN})
    trials = plan_trials(asked, lambda data: "content")
    with pytest.raises(StoreError, match="no finished training of that fingerprint"):
        check_origins(trials, lambda fingerprint: tmp_path / fingerprint)
    (tmp_path / ORIGIN).mkdir()
    write_result(tmp_path / ORIGIN, {"stopped": "finished"})
    check_origins(trials, lambda fingerprint: tmp_path / fingerprint)
