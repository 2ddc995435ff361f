"""What comes back from the tracking store."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.records import StudyRecord
from analysis.store import list_studies, read_study
from tests.analysis.tiny_study import EPOCHS, FRAMES, LC_DEPTHS, QUESTION, SEEDS, STUDY, TILINGS, TinyStore, score_db
from usplit_core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_a_study_comes_back_with_its_question_factors_and_runs(record: StudyRecord) -> None:
    assert (record.name, record.question) == (STUDY, QUESTION)
    assert record.train == {"model.lc_depth": (0, 2)}
    assert record.evaluate == {"tiling.mode": ("inner", "outer"), "tiling.padding_px": (0, 16)}
    assert record.replicates == SEEDS
    assert len(record.finished) == len(LC_DEPTHS) * len(SEEDS)
    assert len(record.evaluations) == len(record.finished) * len(TILINGS)


def test_settings_come_back_with_the_types_of_the_config(record: StudyRecord) -> None:
    settings = record.evaluations[0].settings
    assert isinstance(settings["model.lc_depth"], int)
    assert settings["data.channels"] == ("actin", "nuclei")
    assert settings["data.mixing_weights"] is None
    assert settings["train.learning_rate"] == 1e-3
    assert settings["data.augment"] is False


def test_an_evaluation_knows_its_trial_and_carries_its_score(record: StudyRecord) -> None:
    trials = {trial.fingerprint: trial for trial in record.trials}
    for row in record.evaluations:
        lc_depth, seed = trials[row.trial].settings["model.lc_depth"], trials[row.trial].seed
        assert isinstance(lc_depth, int)
        assert isinstance(seed, int)
        mode, padding_px = str(row.settings["tiling.mode"]), int(str(row.settings["tiling.padding_px"]))
        assert row.metrics["test/scale_invariant_psnr_db"] == score_db(lc_depth, seed, mode, padding_px)


def test_a_failed_trial_keeps_its_reason_and_is_not_finished(record: StudyRecord) -> None:
    failed = [trial for trial in record.trials if trial.state == "failed"]
    assert [trial.seed for trial in failed] == [7]
    assert "for 21 steps" in failed[0].reason


def test_a_history_has_one_point_an_epoch(record: StudyRecord) -> None:
    history = record.finished[0].history("validation/psnr_db")
    assert [point.step for point in history] == list(range(EPOCHS))
    assert np.all(np.diff([point.value for point in history]) > 0)
    assert record.finished[0].history("no/such_metric") == ()


def test_frames_and_samples_are_read_from_artifacts(record: StudyRecord) -> None:
    row = record.evaluations[0]
    scores = row.frames()
    assert {(score.frame, score.channel) for score in scores} == {(n, c) for n in range(FRAMES) for c in range(2)}
    assert set(scores[0].scores) == {"scale_invariant_psnr_db", "ssim"}
    sample = row.sample()
    assert sample is not None
    assert sample.input.shape == (64, 96)
    assert sample.prediction.shape == sample.target.shape == (2, 64, 96)


def test_only_studies_are_listed(tiny_store: TinyStore) -> None:
    assert [study.name for study in list_studies(tiny_store.uri)] == [STUDY]


def test_an_unknown_study_is_refused_with_the_nearest_name(tiny_store: TinyStore) -> None:
    with pytest.raises(UserError, match=f"did you mean '{STUDY}'"):
        read_study(tiny_store.uri, "tiny_lc-dept")


def test_a_mistyped_store_is_refused_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no store"):
        list_studies(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []


def test_reading_and_drawing_load_neither_torch_nor_ray() -> None:
    code = (
        "import sys\n"
        "import analysis.figures, analysis.report, analysis.store, analysis.tables\n"
        "sys.exit(sorted({'torch', 'ray', 'optuna', 'matplotlib.pyplot'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
