"""The energy of a training: counted where the machine lets it be read, and otherwise not told."""

import time
from pathlib import Path

import pytest

from study.tracking import energy
from study.tracking.energy import KEY, Meter, energy_of, energy_tags, find_meters, measured_energy


def domain(powercap: Path, folder: str, name: str, joules: float, wraps_at: float = 262144.0) -> Path:
    """Lay out one domain as Linux does; return the file of its counter."""
    place = powercap / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "max_energy_range_uj").write_text(f"{round(wraps_at * 1e6)}\n")
    (place / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    return place / "energy_uj"


def set_joules(counter: Path, joules: float) -> None:
    """Let a counter stand at a value."""
    counter.write_text(f"{round(joules * 1e6)}\n")


def test_processors_and_their_memory_are_counted_and_their_parts_are_not(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 5)
    domain(tmp_path, "intel-rapl:0:0", "core", 3)
    domain(tmp_path, "intel-rapl:0:1", "dram", 1)
    domain(tmp_path, "intel-rapl:1", "package-1", 7)
    domain(tmp_path, "intel-rapl:2", "psys", 20)
    assert [(meter.name, meter.read()) for meter in find_meters("cpu", tmp_path)] == [
        ("processor 0", 5.0),
        ("memory of processor 0", 1.0),
        ("processor 1", 7.0),
    ]


def test_counters_that_are_closed_or_absent_are_none(tmp_path: Path) -> None:
    assert find_meters("cpu", tmp_path) == []
    counter = domain(tmp_path, "intel-rapl:0", "package-0", 5)
    counter.unlink()
    counter.mkdir()  # reading it fails, also for root
    assert find_meters("cpu", tmp_path) == []


def test_attempts_add_up_and_a_counter_may_run_over(tmp_path: Path) -> None:
    counter = domain(tmp_path / "powercap", "intel-rapl:0", "package-0", 90, wraps_at=100)
    meters = find_meters("cpu", tmp_path / "powercap")
    with measured_energy(tmp_path, "cpu", meters):
        set_joules(counter, 95)
    assert energy_of(tmp_path) == {KEY: pytest.approx(5)}
    set_joules(counter, 98)  # in between, nothing is trained
    with measured_energy(tmp_path, "cpu", meters):
        set_joules(counter, 10)
    assert energy_of(tmp_path) == {KEY: pytest.approx(17)}
    assert energy_tags(tmp_path) == {"usplit.energy": "processor 0"}


def test_a_training_that_breaks_keeps_what_it_took(tmp_path: Path) -> None:
    counter = domain(tmp_path / "powercap", "intel-rapl:0", "package-0", 0)

    def diverge() -> None:
        with measured_energy(tmp_path, "cpu", find_meters("cpu", tmp_path / "powercap")):
            set_joules(counter, 4)
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        diverge()
    assert energy_of(tmp_path) == {KEY: pytest.approx(4)}


def test_what_is_killed_has_written_what_it_took_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_INTERVAL_S", 0.01)
    joules = [0.0]
    with measured_energy(tmp_path, "cpu", [Meter("processor 0", lambda: joules[0])]):
        joules[0] = 3.0
        deadline = time.monotonic() + 10
        while energy_of(tmp_path) != {KEY: 3.0}:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_part_that_was_not_measured_leaves_no_number(tmp_path: Path) -> None:
    with measured_energy(tmp_path, "cpu", [Meter("processor 0", lambda: 1.0)]):
        pass
    with measured_energy(tmp_path, "cpu", []):
        pass
    assert energy_of(tmp_path) == {}
    with measured_energy(tmp_path, "cpu", [Meter("processor 0", lambda: 1.0)]):
        pass
    assert energy_of(tmp_path) == {}
    assert energy_tags(tmp_path) == {}
