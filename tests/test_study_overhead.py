"""The benchmark of a study's overhead: what it runs, and what it makes of the times; nothing here is timed."""

import sys
from pathlib import Path

import pytest

from benchmarks import study_overhead
from benchmarks.study_overhead import Use, describe, measure, study_of, watch
from study.planning.design import plan_trials
from usplit_core.errors import UserError


def test_the_study_has_as_many_trainings_as_asked_for_and_two_tilings_each() -> None:
    trials = plan_trials(study_of(6, 10.0), lambda data: str(data.path))
    assert len(trials) == 6
    assert {trial.run.model.lc_depth for trial in trials} == {1, 2}
    assert {len(trial.tilings) for trial in trials} == {2}
    epochs, steps = trials[0].run.train.epochs, trials[0].run.train.steps_per_epoch
    assert steps is not None
    assert epochs * steps == 10 * study_overhead.STEPS_PER_SECOND


def test_overhead_is_what_the_study_took_beyond_its_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(command: list[str], *, awaited: tuple[Path, str] | None = None) -> Use:
        if awaited is not None:
            return Use(9.0, 9.0, 8.0)
        if "run" in command:
            return Use(100.0, 132.0, None)
        return Use(30.0, 30.0, None) if any("--only" in word for word in command) else Use(120.0, 120.0, None)

    monkeypatch.setattr(study_overhead, "watch", fake)
    found = measure(tmp_path, 4, 10.0)
    assert found["overhead_s_a_training"] == 3.0
    assert found["share"] == pytest.approx(3 / 63)
    assert found["first_step_s"] == 8.0
    assert found["times_the_scripts"] == pytest.approx(30 * 4 * 2 / 132)  # a training for every tiling
    assert "at most 4.8 % of 24 trials" in describe(found)


def test_what_a_program_starts_is_counted_too(tmp_path: Path) -> None:
    work = "import time, sys, pathlib\nwhile time.process_time() < 0.6: pass\npathlib.Path(sys.argv[1]).touch()"
    both = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}, sys.argv[1]])"
    used = watch([sys.executable, "-c", both, str(tmp_path / "made")], awaited=(tmp_path, "made"))
    assert used.processor > 0.4
    assert used.until_file is None or used.until_file <= used.wall


def test_a_program_that_fails_is_reported() -> None:
    with pytest.raises(UserError, match="has failed"):
        watch([sys.executable, "-c", "raise SystemExit(3)"])
