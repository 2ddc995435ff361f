import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.usplit_core.trainings import Listener, lose, not_finite_in, score, tiny_fit, tiny_parts, tiny_run
from usplit_core.objective import Loss
from usplit_core.training import TrainingDiverged, read_history
from usplit_core.vocabulary import metric


def test_equal_seeds_give_equal_trainings_whatever_was_drawn_before(tmp_path: Path) -> None:
    listeners = [Listener(), Listener(), Listener(), Listener()]
    seeds: list[dict[str, Any]] = [{}, {}, {"train__seed": 1}, {"train__data_seed": 1}]
    for index, (listener, seed) in enumerate(zip(listeners, seeds, strict=True)):
        torch.manual_seed(index)
        tiny_fit(tiny_run(**seed), tmp_path / str(index), report=listener)
    assert listeners[0].numbers() == listeners[1].numbers()
    assert listeners[0].numbers() != listeners[2].numbers()
    assert listeners[0].numbers() != listeners[3].numbers()


def test_training_leaves_the_random_numbers_of_the_caller_alone(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    tiny_fit(tiny_run(), tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_reports_hold_metrics_of_the_vocabulary_for_each_channel_and_level(tmp_path: Path) -> None:
    listener = Listener()
    result = tiny_fit(tiny_run(), tmp_path, report=listener)
    for report in listener.reports:
        assert report.epochs == 4
        assert all(math.isfinite(value) for value in report.metrics.values())
        assert [metric(key).key for key in report.metrics] == list(report.metrics)
    keys = set(listener.reports[0].metrics)
    several = ("train/reconstruction", "train/kl", "validation/psnr_db")
    assert {f"{key}/{index}" for key in several for index in (0, 1)} | set(several) <= keys
    assert {"train/loss", "train/learning_rate", "train/gradient_norm", "validation/loss"} <= keys
    assert {"train/patches_per_second", "cost/train_seconds", "cost/peak_host_bytes"} <= keys
    assert result.best_metrics == listener.reports[result.best_epoch - 1].metrics
    assert set(result.cost) == {"cost/parameters", "cost/train_seconds", "cost/peak_host_bytes"}


def test_one_epoch_covers_the_training_frames_where_no_number_of_steps_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(train__epochs=1, train__steps_per_epoch=None, train__batch_size=3)
    parts, _ = tiny_parts(run)
    patches = len(parts.train) * 2 * 2
    taken: list[int] = []

    def count(step: int, loss: Loss) -> Loss:
        taken.append(step)
        return loss

    lose(monkeypatch, count)
    tiny_fit(run, tmp_path)
    assert len(taken) == math.ceil(patches / 3)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    listener = Listener()
    run = tiny_run(
        model__filters=8, model__dropout=0.0, train__epochs=2, train__steps_per_epoch=20, train__batch_size=4,
        train__learning_rate=0.03,
    )  # fmt: skip
    tiny_fit(run, tmp_path, report=listener)
    first, second = (report.metrics for report in listener.reports)
    assert second["train/loss"] < first["train/loss"] - 0.1
    assert second["validation/psnr_db"] > first["validation/psnr_db"]


def test_a_skipped_step_is_counted_and_leaves_no_trace_in_the_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, not_finite_in(range(2, 3)))
    listener = Listener()
    tiny_fit(tiny_run(), tmp_path, report=listener)
    assert [report.metrics["train/skipped_steps"] for report in listener.reports] == [0, 1, 0, 0]
    assert all(math.isfinite(report.metrics["train/loss"]) for report in listener.reports)


def test_an_epoch_of_skipped_steps_alone_reports_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, not_finite_in(range(2, 4)))
    listener = Listener()
    tiny_fit(tiny_run(), tmp_path, report=listener)
    assert listener.reports[1].metrics["train/skipped_steps"] == 2
    assert "train/loss" not in listener.reports[1].metrics


def test_too_many_skipped_steps_end_the_training_and_complete_epochs_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, not_finite_in(range(3, 100)))
    with pytest.raises(TrainingDiverged, match=r"in 3 steps in a row, up to step 5, .*lower train\.learning_rate"):
        tiny_fit(tiny_run(train__max_skipped_steps=2), tmp_path)
    assert [report.epoch for report in read_history(tmp_path)] == [1, 2]


def test_a_validation_that_is_not_finite_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(monkeypatch, 20.0, math.nan)
    with pytest.raises(TrainingDiverged, match="the validation of epoch 2 is not finite"):
        tiny_fit(tiny_run(), tmp_path)


def test_the_kl_divergence_enters_with_the_epochs(tmp_path: Path) -> None:
    listener = Listener()
    tiny_fit(tiny_run(objective__kl_annealing_epochs=2), tmp_path, report=listener)
    shares = [
        (numbers["train/loss"] - numbers["train/reconstruction"]) / numbers["train/kl"]
        for numbers in listener.numbers()
    ]
    assert shares == pytest.approx([0, 0.5, 1, 1], abs=1e-3)
