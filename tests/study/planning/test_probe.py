"""A probe measures a network once, in a process of its own, and remembers it."""

from pathlib import Path

import pytest

from study.planning import probe as module
from study.planning.probe import Measurement, ProbePlace, measure, measured, probe
from usplit_core.config import RunConfig
from usplit_core.settings import resolve

TINY = {
    "data.path": "none",
    "model.patch_px": 16,
    "model.depth": 2,
    "model.lc_depth": 1,
    "model.filters": 4,
    "model.latent_channels": 2,
}


def tiny(**settings: object) -> RunConfig:
    return resolve({**TINY, "tiling.padding_px": 4, "train.batch_size": 2, **settings})


def test_a_few_steps_give_a_time_and_a_peak() -> None:
    found = measure(tiny(), device="cpu", threads=1)
    assert found.problem == ""
    assert found.seconds_per_step is not None
    assert 0 < found.seconds_per_step < 60
    assert found.peak_bytes is not None


def test_time_that_is_up_ends_the_steps() -> None:
    assert measure(tiny(), device="cpu", threads=1, seconds=0.0).seconds_per_step is not None


def test_each_network_is_measured_once_for_each_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def measure_apart(run: RunConfig, place: ProbePlace) -> Measurement:
        asked.append(place.threads)
        return Measurement(0.5, 1000)

    monkeypatch.setattr(module, "_measure_apart", measure_apart)
    place = ProbePlace("cpu", 1, tmp_path)
    same = [tiny(), tiny(**{"train.learning_rate": 1e-4}), tiny(**{"train.seed": 3})]
    probe([*same, tiny(**{"train.batch_size": 4})], place)
    assert asked == [1, 1]
    assert measured(same[1], place) == Measurement(0.5, 1000)
    probe(same, place)
    probe(same, place._replace(threads=2))
    assert asked == [1, 1, 2]


def test_no_network_is_begun_when_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_measure_apart", lambda *_: pytest.fail("begun"))
    probe([tiny()], ProbePlace("cpu", 1, tmp_path), seconds=0.0)


def test_a_network_that_cannot_be_measured_says_why(tmp_path: Path) -> None:
    place = ProbePlace("cpu", 1, tmp_path)
    half = tiny(**{"train.precision": "float16"})
    probe([half], place)
    found = measured(half, place)
    assert found is not None
    assert found.seconds_per_step is None
    assert "float16" in found.problem


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"model.architecture": "unet", "model.lc_depth": 0, "model.filters": 16, "model.patch_px": 64},
        {"model.variant": "regular", "model.filters": 12, "model.latent_channels": 12, "model.patch_px": 64},
    ],
)
def test_the_calculated_memory_is_near_the_measured_peak(tmp_path: Path, settings: dict[str, object]) -> None:
    from usplit_core.cost import training_bytes

    run = resolve({"data.path": "none", "train.batch_size": 8, **settings})
    loaded_while_computing = _peak_bytes(tiny(), tmp_path)  # libraries; the network itself needs next to nothing
    assert 0.5 < training_bytes(run) / (_peak_bytes(run, tmp_path) - loaded_while_computing) < 2


def _peak_bytes(run: RunConfig, folder: Path) -> int:
    place = ProbePlace("cpu", 1, folder)
    probe([run], place)
    found = measured(run, place)
    assert found is not None
    assert found.peak_bytes is not None
    return found.peak_bytes
