"""The command line: quick help, and one message with exit code 2 for what a user did wrong."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from study.__main__ import main

COMMANDS = ("run", "plan", "status", "figures", "predict", "evaluate", "import", "dashboard")


def usplit(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["usplit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert usplit(monkeypatch, command, "--help") == 0
    assert f"Example: usplit {command}" in " ".join(capsys.readouterr().out.split())


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['usplit', 'run', '--help']\n"
        "from study.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (["model.lc_dept=2"], ["model.lc_dept", "did you mean 'model.lc_depth'"]),
        (["model.lc_depth=3"], ["deeper than the network", "at most 2"]),
        (["train.epochs=0"], ["train.epochs", "greater than or equal to 1"]),
        (["data.channels=0,7"], ["7"]),
        (["data.channels=0"], ["data.channels", "at least 2"]),
        (["data.path=nowhere.tif"], ["nowhere.tif"]),
        (["data.axes=QQ"], ["QQ"]),
        (["model.patch_px=128"], ["128"]),
        (["tiling.padding_px=8"], ["8", "leaves nothing"]),
        (["no-equals-sign"], ["NAME=VALUE"]),
    ],
)
def test_a_wrong_setting_stops_a_study_before_it_starts(
    settings: list[str],
    parts: list[str],
    space: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = tmp_path / "store"
    flags = [flag for setting in settings for flag in ("--set", setting)]
    assert usplit(monkeypatch, "run", space, "--store", store, *flags) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "Traceback" not in message
    for part in parts:
        assert part in message
    assert not (store / "ledger.sqlite").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_stop_a_study(
    bad: float, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = np.ones((6, 2, 64, 64), np.float32)
    frames[3, 1, 5, 7] = bad
    images = tmp_path / "bad.tif"
    tifffile.imwrite(images, frames, metadata={"axes": "TCYX"}, imagej=True)
    assert usplit(monkeypatch, "plan", space, "--set", f"data.path={images}") == 2
    assert "NaN" in capsys.readouterr().err


def test_one_channel_where_two_are_needed_stops_a_study(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "one.tif"
    tifffile.imwrite(images, np.ones((6, 64, 64), np.uint16), metadata={"axes": "TYX"}, imagej=True)
    assert usplit(monkeypatch, "plan", space, "--set", f"data.path={images}") == 2
    assert "channel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("STUDY = 3", "defines no STUDY"),
        ("import nothing_of_that_name", "line 1"),
        ("x = (", "line 1"),
        ("\nfrom study.spec import Study\nSTUDY = Study(nam='x')", "line 3"),
        ("\nraise SystemExit(0)", "line 2: SystemExit"),
    ],
)
def test_a_search_space_that_cannot_be_loaded_is_one_message(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "broken.py"
    space.write_text(text)
    assert usplit(monkeypatch, "plan", space) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_search_space_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert usplit(monkeypatch, "plan", "quickstrat") == 2
    assert "did you mean 'quickstart'" in capsys.readouterr().err
    assert usplit(monkeypatch, "plan", "quickstart.yaml") == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "figures"])
def test_a_store_without_studies_is_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert usplit(monkeypatch, command, "small", "--store", tmp_path / "nowhere") == 2
    assert "no study has been run there" in capsys.readouterr().err


def test_brackets_in_a_question_are_printed_as_they_are(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    space.write_text(f"{space.read_text()}\nimport dataclasses\n")
    with space.open("a") as file:
        file.write("STUDY = dataclasses.replace(STUDY, question='Is [padding] in [px/s] [/s] better?')\n")
    assert usplit(monkeypatch, "plan", space) == 0
    assert "Is [padding] in [px/s] [/s] better?" in capsys.readouterr().out


def test_a_long_name_gets_no_longer_by_settings(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "n" * 61
    with space.open("a") as file:
        file.write(f"\nimport dataclasses\nSTUDY = dataclasses.replace(STUDY, name={name!r})\n")
    assert usplit(monkeypatch, "plan", space, "--set", "train.epochs=2") == 0
    assert "nnn-" in capsys.readouterr().out


def test_a_plan_counts_trainings_and_evaluations_and_writes_nothing(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert usplit(monkeypatch, "plan", space) == 0
    assert "4 trainings, 8 evaluations To do: 4 trainings" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "usplit_store").exists()
