import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.usplit_core.trainings import Listener, score, tiny_fit, tiny_run, weights
from usplit_core import training
from usplit_core.errors import CheckpointError
from usplit_core.training import read_history


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model__architecture": "unet"},
        {"train__precision": "bfloat16"},
        {"train__plateau_patience": 0, "objective__kl_annealing_epochs": 3, "data__augment": True},
    ],
    ids=str,
)
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    run = tiny_run(**settings)
    whole, first, second = Listener(), Listener(epoch=2), Listener()
    expected = tiny_fit(run, tmp_path / "whole", report=whole)
    assert tiny_fit(run, tmp_path / "parts", report=first).stopped == "interrupted"
    torch.rand(1)
    resumed = tiny_fit(run, tmp_path / "parts", report=second)

    assert first.numbers() + second.numbers() == whole.numbers()
    assert [report.epoch for report in second.reports] == [3, 4]
    assert (resumed.epochs_run, resumed.best_epoch, resumed.stopped) == (4, expected.best_epoch, "finished")
    torch.testing.assert_close(weights(resumed.model), weights(expected.model), rtol=0, atol=0)


def test_an_interrupt_passes_through_and_the_complete_epochs_stand(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny_fit(tiny_run(), tmp_path, report=Listener(epoch=3, error=KeyboardInterrupt))
    assert [report.epoch for report in read_history(tmp_path)] == [1, 2, 3]
    rest = Listener()
    tiny_fit(tiny_run(), tmp_path, report=rest)
    assert [report.epoch for report in rest.reports] == [4]


def test_a_training_killed_between_its_two_writes_repeats_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)

    def killed() -> None:
        # One call before the first epoch, then two an epoch, as each of them is better than the last.
        if next(calls) == 1 + 2 * 4:
            raise KeyboardInterrupt

    score(monkeypatch, 20, 21, 22, 23)
    expected = tiny_fit(tiny_run(), tmp_path / "whole")
    score(monkeypatch, 20, 21, 22, 23)
    with pytest.raises(KeyboardInterrupt):
        tiny_fit(tiny_run(), tmp_path / "killed", may_write=killed)
    rest = Listener()
    score(monkeypatch, 23)
    result = tiny_fit(tiny_run(), tmp_path / "killed", report=rest)
    assert [report.epoch for report in rest.reports] == [4]
    torch.testing.assert_close(weights(result.model), weights(expected.model), rtol=0, atol=0)


def test_rarer_checkpoints_change_neither_the_weights_nor_what_a_killed_training_comes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The best epoch, the second, lies between two checkpoints.
    score(monkeypatch, 20, 23, 22, 21)
    expected = tiny_fit(tiny_run(), tmp_path / "each")
    rare = tiny_run(train__checkpoint_every_epochs=3)
    writes = itertools.count()
    score(monkeypatch, 20, 23, 22, 21)
    whole = tiny_fit(rare, tmp_path / "rare", may_write=lambda: next(writes) and None)
    # One call before the first epoch, then best and last after the third epoch, and last after the fourth.
    assert next(writes) == 1 + 2 + 1
    assert whole.best_epoch == expected.best_epoch == 2
    torch.testing.assert_close(weights(whole.model), weights(expected.model), rtol=0, atol=0)

    score(monkeypatch, 20, 23, 22, 21)
    with pytest.raises(KeyboardInterrupt):
        tiny_fit(rare, tmp_path / "killed", report=Listener(epoch=2, error=KeyboardInterrupt))
    assert read_history(tmp_path / "killed") == []
    rest = Listener()
    score(monkeypatch, 20, 23, 22, 21)
    resumed = tiny_fit(rare, tmp_path / "killed", report=rest)
    assert [report.epoch for report in rest.reports] == [1, 2, 3, 4]
    torch.testing.assert_close(weights(resumed.model), weights(expected.model), rtol=0, atol=0)


def test_a_training_that_is_asked_to_stop_between_two_checkpoints_loses_nothing(tmp_path: Path) -> None:
    rare = tiny_run(train__checkpoint_every_epochs=3)
    expected = tiny_fit(tiny_run(), tmp_path / "whole")
    assert tiny_fit(rare, tmp_path / "parts", report=Listener(epoch=2)).stopped == "interrupted"
    rest = Listener()
    result = tiny_fit(rare, tmp_path / "parts", report=rest)
    assert [report.epoch for report in rest.reports] == [3, 4]
    torch.testing.assert_close(weights(result.model), weights(expected.model), rtol=0, atol=0)


def test_a_training_goes_on_with_other_intervals_between_checkpoints(tmp_path: Path) -> None:
    tiny_fit(tiny_run(), tmp_path, report=Listener(epoch=2))
    rest = Listener()
    tiny_fit(tiny_run(train__checkpoint_every_epochs=5), tmp_path, report=rest)
    assert [report.epoch for report in rest.reports] == [3, 4]


def test_a_finished_folder_returns_its_result_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener()
    result = tiny_fit(tiny_run(), tmp_path, report=listener)
    monkeypatch.setattr(training, "build_learner", None)
    again = Listener()
    assert tiny_fit(tiny_run(), tmp_path, report=again, may_write=lambda: pytest.fail("nothing to write")) == result
    assert again.reports == []
    assert read_history(tmp_path) == listener.reports
    assert read_history(tmp_path / "new") == []


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    tiny_fit(tiny_run(), tmp_path)
    with pytest.raises(CheckpointError, match=r"another run, which differs in train\.seed \(was 0, now 1\)"):
        tiny_fit(tiny_run(train__seed=1), tmp_path)


def test_another_tiling_or_place_of_the_images_is_the_same_training(tmp_path: Path) -> None:
    result = tiny_fit(tiny_run(), tmp_path)
    assert tiny_fit(tiny_run(tiling__padding_px=2, data__path="moved.tif"), tmp_path) == result


def test_a_training_without_its_best_weights_is_refused(tmp_path: Path) -> None:
    tiny_fit(tiny_run(), tmp_path, report=Listener(epoch=1))
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"best\.safetensors is missing"):
        tiny_fit(tiny_run(), tmp_path)


def test_a_damaged_training_file_is_refused(tmp_path: Path) -> None:
    tiny_fit(tiny_run(), tmp_path, report=Listener(epoch=1))
    (tmp_path / "last.safetensors").write_bytes(b"not this")
    with pytest.raises(CheckpointError, match=r"last\.safetensors is no safetensors file"):
        tiny_fit(tiny_run(), tmp_path)


def test_nothing_is_written_once_another_attempt_has_taken_over(tmp_path: Path) -> None:
    class TakenOver(Exception):
        pass

    tiny_fit(tiny_run(), tmp_path, report=Listener(epoch=1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse() -> None:
        raise TakenOver

    with pytest.raises(TakenOver):
        tiny_fit(tiny_run(), tmp_path, may_write=refuse)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_training_on_a_gpu_resumes_and_reports_its_memory(tmp_path: Path, precision: str) -> None:
    run = tiny_run(train__precision=precision)
    tiny_fit(run, tmp_path, report=Listener(epoch=2), device="cuda")
    result = tiny_fit(run, tmp_path, device="cuda")
    assert result.epochs_run == 4
    assert result.cost["cost/peak_device_bytes"] > 0
