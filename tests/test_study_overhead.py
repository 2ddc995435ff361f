"""The benchmark of a study's overhead: what it runs, and what it makes of the times; nothing here is timed."""

import sys
from pathlib import Path

import pytest

from benchmarks import study_overhead
from benchmarks.overhead_space import STEPS_PER_SECOND, study_of
from benchmarks.study_overhead import Use, describe, measure, watch
from study.planning.design import plan_trials
from usplit_core.errors import UserError


def test_the_study_has_as_many_trainings_as_asked_for_and_two_tilings_each() -> None:
    trials = plan_trials(study_of(6, 10.0), lambda data: str(data.path))
    assert len(trials) == 6
    assert {trial.run.model.lc_depth for trial in trials} == {1, 2}
    assert {len(trial.tilings) for trial in trials} == {2}
    epochs, steps = trials[0].run.train.epochs, trials[0].run.train.steps_per_epoch
    assert steps is not None
    assert epochs * steps == 10 * STEPS_PER_SECOND


def test_overhead_is_what_the_study_took_beyond_its_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(command: list[str], *, awaited: tuple[Path, str] | None = None) -> Use:
        if awaited is not None:
            return Use(9.0, 8.0, 7.0, 6.0)
        if "run" in command:
            return Use(100.0, 132.0, None, None)
        seconds = 30.0 if any("--only" in word for word in command) else 120.0
        return Use(seconds, seconds, None, None)

    monkeypatch.setattr(study_overhead, "watch", fake)
    found = measure(tmp_path, 4, 10.0)
    assert found["overhead_s"] == 12.0
    # A study of 24 trials starts and ends once, too.
    assert found["overhead_of_study_s"] == 8.0 + 24 * (12.0 - 8.0) / 4
    assert found["share"] == pytest.approx(32 / (24 * 60 + 32))
    assert found["first_step_s"] == 7.0
    assert found["times_the_scripts"] == pytest.approx(30 * 4 * 2 / 132)  # a training for every tiling
    assert "2.2 % of 24 trials" in describe(found)


def test_what_a_program_starts_is_counted_too(tmp_path: Path) -> None:
    work = "import time, sys, pathlib\nwhile time.process_time() < 0.6: pass\npathlib.Path(sys.argv[1]).touch()"
    both = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}, sys.argv[1]])"
    used = watch([sys.executable, "-c", both, str(tmp_path / "made")], awaited=(tmp_path, "made"))
    assert used.processor > 0.4
    assert used.until_file is None or used.until_file <= used.wall


def test_only_a_new_file_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "made").touch()
    assert watch([sys.executable, "-c", ""], awaited=(tmp_path, "made")).until_file is None


def test_a_program_that_fails_is_reported() -> None:
    with pytest.raises(UserError, match="has failed"):
        watch([sys.executable, "-c", "raise SystemExit(3)"])
