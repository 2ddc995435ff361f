"""The benchmarks: what they plan, how they read and write results, and the tables that they make of planted ones."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks import context_gain, convergence, trainings
from benchmarks.results import add_run, find_folder, load_runs, mean_and_deviation, numbers
from usplit_core.errors import ConfigError, DataError
from usplit_core.settings import Setting, resolve

TINY: dict[str, Setting] = {
    "data.path": "synthetic:glyphs?frames=5&size_px=32",
    "model.variant": "vanilla",
    "model.depth": 2,
    "model.filters": 2,
    "model.latent_channels": 2,
    "model.patch_px": 16,
    "tiling.padding_px": 4,
    "train.batch_size": 2,
    "train.steps_per_epoch": 2,
    "train.epochs": 3,
}


def planted(**scores: float) -> dict[str, Any]:
    """Return a run with scores by step, named as in ``s100=20.0``."""
    by_step = {name.removeprefix("s"): {"scale_invariant_psnr_db": value} for name, value in scores.items()}
    return {"scores": by_step, "seconds": 1.0}


def test_the_settings_of_every_job_are_those_of_a_run() -> None:
    images = ("ch1.tif", "ch2.tif")
    jobs = convergence.jobs_of(images, ["vanilla", "regular"], [0, 3], steps=300, threads=1)
    jobs += context_gain.jobs_of("critters", [0], steps=50, threads=2)
    assert [job.key for job in jobs] == [
        *("vanilla/0", "vanilla/3", "regular/0", "regular/3"),
        *("critters/vanilla/0", "critters/lean/0"),
    ]
    assert [job.steps for job in jobs] == [300] * 4 + [50] * 2
    assert [job.score_epochs for job in jobs] == [(1, 2, 3)] * 4 + [(1,)] * 2
    assert [resolve(job.settings).train.seed for job in jobs] == [0, 3, 0, 3, 0, 0]


def test_a_schedule_of_other_than_whole_epochs_is_refused() -> None:
    assert trainings.schedule(300) == {"train.steps_per_epoch": 100, "train.epochs": 3}
    assert trainings.schedule(7) == {"train.steps_per_epoch": 7, "train.epochs": 1}
    for steps in (150, 0):
        with pytest.raises(ConfigError, match=f"--steps {steps}"):
            trainings.schedule(steps)


def test_a_training_is_scored_after_each_epoch_asked_for() -> None:
    job = trainings.Job("tiny", TINY, "test", (1, 3), threads=1)
    run = trainings.train_and_score(job)
    assert list(run["scores"]) == ["2", "6"]
    assert set(run["scores"]["6"]) == {f"scale_invariant_psnr_db{channel}" for channel in ("", "/0", "/1")}
    assert trainings.headline_of(run, 6) == run["scores"]["6"]["scale_invariant_psnr_db"]
    assert trainings.headline_of(run, 6) != trainings.headline_of(run, 2)
    assert run["seconds"] > 0
    assert trainings.train_and_score(job)["scores"] == run["scores"]


def test_jobs_are_told_as_soon_as_they_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    short = trainings.Job("short", {**TINY, "train.epochs": 1}, "validation", (1,), threads=1)
    long = trainings.Job("long", TINY, "validation", (3,), threads=1)
    done: list[str] = []
    trainings.run_jobs([short, long], 1, lambda job, run: done.append(job.key))
    assert sorted(done) == ["long", "short"]
    shown = capsys.readouterr().out
    assert "2 trainings, 1 at a time" in shown
    assert "dB at 6 steps" in shown


def test_results_are_kept_with_their_settings_and_never_mixed(tmp_path: Path) -> None:
    path = tmp_path / "results" / "some.json"
    assert load_runs(path, {"steps": 3}) == {}
    add_run(path, {"steps": 3}, "b", planted(s3=1.0))
    add_run(path, {"steps": 3}, "a", planted(s3=2.0))
    runs = load_runs(path, {"steps": 3})
    assert list(runs) == ["a", "b"]
    assert {"torch", "usplit", "cores", "processor"} <= set(runs["a"]["machine"])
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(ConfigError, match="other settings"):
        load_runs(path, {"steps": 4})
    path.write_text(json.dumps([1]), "utf-8")
    with pytest.raises(ConfigError, match="no results file"):
        load_runs(path, {"steps": 3})


def test_a_call_computes_only_what_the_results_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run_jobs(jobs: list[trainings.Job], processes: int, done: Any) -> None:
        asked.append([job.key for job in jobs])
        for job in jobs:
            done(job, planted(s200=20.0 + resolve(job.settings).train.seed))

    monkeypatch.setattr(context_gain, "run_jobs", run_jobs)
    arguments = ["--tasks", "critters", "--steps", "200", "--out", str(tmp_path / "gain.json")]
    context_gain.main([*arguments, "--seeds", "0"])
    context_gain.main([*arguments, "--seeds", "0,1"])
    assert asked == [
        ["critters/vanilla/0", "critters/lean/0"],
        ["critters/vanilla/1", "critters/lean/1"],
    ]
    assert "| critters | 20.50 ± 0.71 | 20.50 ± 0.71 | +0.00 | [+0.00, +0.00] | 2 |" in capsys.readouterr().out


def test_the_table_of_convergence_puts_ours_beside_the_authors() -> None:
    runs = {
        "vanilla/0": planted(s100=19.0, s200=21.0),
        "vanilla/1": planted(s100=20.0, s200=23.0),
        "regular/0": planted(s50=11.0, s100=18.5),
        "lean/0": planted(s100=18.0),
    }
    assert convergence.table(runs).splitlines()[2:] == [
        "| vanilla | 100 | 19.50 ± 0.71 | 2 | 19.10, 18.36 |",
        "| vanilla | 200 | 22.00 ± 1.41 | 2 | 20.44, 22.09 |",
        "| regular | 50 | 11.00 | 1 | – |",
        "| regular | 100 | 18.50 | 1 | 18.96 |",
        "| lean | 100 | 18.00 | 1 | – |",
    ]


def test_a_gain_is_paired_by_seed_and_has_students_interval() -> None:
    vanilla, context = {"0": 20.0, "1": 25.0, "2": 22.0, "3": 1.0}, {"0": 21.0, "1": 25.5, "2": 23.5, "4": 99.0}
    runs = {f"critters/vanilla/{seed}": planted(s9=value) for seed, value in vanilla.items()}
    runs |= {f"critters/lean/{seed}": planted(s9=value) for seed, value in context.items()}
    gain = context_gain.gain_of(runs, "critters", 9)
    assert gain is not None
    assert gain.seeds == ("0", "1", "2")
    assert gain.mean == pytest.approx(1.0)
    # The 0.975 quantile of Student's t with 2 degrees of freedom is 4.303.
    reach = 4.303 * statistics.stdev([1.0, 0.5, 1.5]) / 3**0.5
    assert gain.interval == pytest.approx((1 - reach, 1 + reach), abs=1e-3)
    (line,) = context_gain.report(runs, 9).splitlines()[2:]
    assert line == "| critters | 22.33 ± 2.52 | 23.33 ± 2.25 | +1.00 | [-0.24, +2.24] | 3 |"


def test_one_pair_has_a_gain_without_interval_and_none_has_no_line() -> None:
    runs = {"hagen/vanilla/0": planted(s9=20.0), "hagen/lean/0": planted(s9=19.0), "critters/lean/0": planted(s9=9.0)}
    assert context_gain.report(runs, 9).splitlines()[2:] == ["| hagen | 20.00 | 19.00 | -1.00 | – | 1 |"]
    assert context_gain.gain_of(runs, "critters", 9) is None


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USPLIT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="set USPLIT_DATA to the one that holds hagen_bpae/"):
        context_gain.jobs_of("hagen", [0], steps=1, threads=1)
    with pytest.raises(ConfigError, match="did you mean 'critters'"):
        context_gain.jobs_of("criters", [0], steps=1, threads=1)
    monkeypatch.setenv("USPLIT_DATA", str(tmp_path))
    assert find_folder("USPLIT_DATA", "data", "images") == tmp_path


def test_numbers_and_their_spread() -> None:
    assert numbers("0,2,10") == [0, 2, 10]
    assert mean_and_deviation([1.0]) == "1.00"
    assert mean_and_deviation([1.0, 3.0]) == "2.00 ± 1.41"
