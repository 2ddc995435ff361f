from pathlib import Path
from typing import Any

import pytest
import torch

from tests.usplit_core.trainings import Listener, score, tiny_fit, tiny_run, weights
from usplit_core.checkpoint import read_progress
from usplit_core.checkpointing import LAST
from usplit_core.config import RunConfig
from usplit_core.errors import CheckpointError
from usplit_core.identity import identity
from usplit_core.resume import begin_after

_ORIGIN = "0123456789abcdef" * 2


def _continued(folder: Path, run: RunConfig, **arguments: Any) -> Any:
    """Train `run` from where the training in ``folder / "first"`` ended."""
    begin_after(folder / "first" / LAST, folder / "second" / LAST, run)
    return tiny_fit(run, folder / "second", **arguments)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model__architecture": "unet"},
        {"train__plateau_patience": 0, "objective__kl_annealing_epochs": 3, "data__augment": True},
    ],
    ids=str,
)
def test_a_training_in_two_parts_equals_one_in_a_piece(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole, second = Listener(), Listener()
    tiny_fit(tiny_run(**settings), tmp_path / "whole", report=whole)
    tiny_fit(tiny_run(**settings, train__epochs=2), tmp_path / "first")
    _continued(tmp_path, tiny_run(**settings, train__epochs=2, train__continue_from=_ORIGIN), report=second)
    assert second.numbers() == whole.numbers()[2:]
    assert [report.epoch for report in second.reports] == [1, 2]


def test_the_best_weights_of_a_continued_training_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(monkeypatch, 30, 31, 20, 21)
    tiny_fit(tiny_run(train__epochs=2), tmp_path / "first")
    result = _continued(tmp_path, tiny_run(train__epochs=2, train__continue_from=_ORIGIN))
    assert (result.best_epoch, result.best_metrics["validation/psnr_db"]) == (2, 21)


def test_another_learning_rate_is_lowered_as_far_as_the_schedule_had_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(monkeypatch, *[20] * 10)
    tiny_fit(tiny_run(train__plateau_patience=0, train__learning_rate=0.01), tmp_path / "first")
    run = tiny_run(train__plateau_patience=0, train__learning_rate=0.02, train__continue_from=_ORIGIN)
    listener = Listener(epoch=1)
    _continued(tmp_path, run, report=listener)
    # Three epochs without a gain have each halved the rate.
    assert listener.reports[0].metrics["train/learning_rate"] == pytest.approx(0.02 / 8)


def test_a_continued_training_resumes_where_it_was_interrupted(tmp_path: Path) -> None:
    run = tiny_run(train__continue_from=_ORIGIN)
    tiny_fit(tiny_run(), tmp_path / "first")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "first").symlink_to(tmp_path / "first")
    expected = _continued(tmp_path, run)
    _continued(tmp_path / "other", run, report=Listener(epoch=2))
    resumed = _continued(tmp_path / "other", run)
    torch.testing.assert_close(weights(resumed.model), weights(expected.model), rtol=0, atol=0)


def test_the_origin_is_part_of_what_a_training_is() -> None:
    assert identity(tiny_run()) != identity(tiny_run(train__continue_from=_ORIGIN))


def test_a_missing_origin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is missing; finish that training"):
        _continued(tmp_path, tiny_run(train__continue_from=_ORIGIN))


def test_an_unfinished_origin_is_refused(tmp_path: Path) -> None:
    tiny_fit(tiny_run(), tmp_path / "first", report=Listener(epoch=1))
    with pytest.raises(CheckpointError, match="has come to epoch 1 of 4 only"):
        _continued(tmp_path, tiny_run(train__continue_from=_ORIGIN))


def test_an_origin_that_was_not_handed_on_does_not_begin_anew(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="was not handed on"):
        tiny_fit(tiny_run(train__continue_from=_ORIGIN), tmp_path)


def test_an_origin_of_another_network_is_refused(tmp_path: Path) -> None:
    tiny_fit(tiny_run(model__filters=8), tmp_path / "first")
    with pytest.raises(CheckpointError, match="do not fit"):
        _continued(tmp_path, tiny_run(train__continue_from=_ORIGIN))


def test_the_origin_is_left_as_it_was(tmp_path: Path) -> None:
    tiny_fit(tiny_run(), tmp_path / "first")
    before = (tmp_path / "first" / LAST).read_bytes()
    _continued(tmp_path, tiny_run(train__continue_from=_ORIGIN))
    assert (tmp_path / "first" / LAST).read_bytes() == before
    _, progress = read_progress(tmp_path / "second" / LAST)
    assert progress["epochs"]["epochs_before"] == 4
