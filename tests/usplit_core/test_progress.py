from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.usplit_core.trainings import Listener, lose, score, tiny_fit, tiny_run, weights
from usplit_core.checkpoint import load_model
from usplit_core.progress import Progress, add_epoch, collapsed_levels, count_silent_epochs
from usplit_core.training import EpochReport, read_history


def test_training_stops_early_without_a_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(monkeypatch, 20, 21, 21 + 1e-7, 20.5, 30)
    result = tiny_fit(tiny_run(train__epochs=5, train__early_stop_patience=2), tmp_path)
    assert (result.stopped, result.epochs_run, result.best_epoch) == ("early_stop", 4, 2)


def test_training_never_stops_early_when_that_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(monkeypatch, 20, 19, 18, 17)
    assert tiny_fit(tiny_run(train__early_stop_patience=None), tmp_path).stopped == "finished"


def test_a_plateau_halves_the_learning_rate_down_to_the_smallest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(monkeypatch, *[20.0] * 8)
    listener = Listener()
    run = tiny_run(train__epochs=8, train__plateau_patience=1, train__min_learning_rate=4e-4)
    tiny_fit(run, tmp_path, report=listener)
    rates = [report.metrics["train/learning_rate"] for report in listener.reports]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 4e-4, 4e-4, 4e-4])


def test_the_best_file_holds_the_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(monkeypatch, 20, 23, 22, 21)
    kept: list[dict[str, Tensor]] = []
    flags = []

    def report(report: EpochReport) -> None:
        kept.append(weights(tmp_path / "best.safetensors"))
        flags.append(report.is_best)

    result = tiny_fit(tiny_run(), tmp_path, report=report)
    _, saved = load_model(result.model)
    assert flags == [True, True, False, False]
    assert (saved.epoch, saved.metrics["validation/psnr_db"]) == (2, 23)
    assert saved.channel_names == ("vertical", "horizontal")
    torch.testing.assert_close(weights(result.model), kept[1], rtol=0, atol=0)
    assert any(not torch.equal(kept[0][name], tensor) for name, tensor in kept[1].items())
    assert [report.is_best for report in read_history(tmp_path)] == flags


def test_levels_that_carry_nothing_for_three_epochs_count_as_collapsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, lambda _, loss: loss._replace(kl_per_level=loss.kl_per_level * torch.tensor([1.0, 0.0])))
    listener = Listener(epoch=2)
    tiny_fit(tiny_run(), tmp_path, report=listener)
    tiny_fit(tiny_run(), tmp_path, report=listener)
    assert [report.metrics["train/collapsed_levels"] for report in listener.reports] == [0, 0, 1, 1]


def test_a_level_that_wakes_up_is_not_collapsed() -> None:
    silent = count_silent_epochs((5, 5), {"train/kl/0": 0.1, "train/kl/1": 0.0})
    assert silent == (0, 6)
    assert collapsed_levels(silent) == 1
    assert count_silent_epochs((), {"train/loss": 1.0}) == ()


def test_an_epoch_counts_as_better_from_a_small_gain_on() -> None:
    progress = Progress()
    for psnr in (20.0, 20.0 + 0.9e-6, 20.0 + 1.5e-6):
        progress = add_epoch(progress, {"validation/psnr_db": psnr}, tiny_run().train)
    assert progress.best_epoch == 3
