"""The benchmarks of prediction: their tables, and what they refuse."""

from pathlib import Path

import pytest

from benchmarks import padding_table
from benchmarks.results import add_run

METRICS = {
    "test/scale_invariant_psnr_db": 30.123,
    "test/seam_gradient_ratio": 1.0567,
    "test/seam_divergence": 0.01234,
    "test/seconds": 12.34,
}


def test_the_padding_table_has_a_line_a_tiling() -> None:
    lines = padding_table.table({"inner/0": {"metrics": METRICS}, "outer/16": {"metrics": METRICS}}).splitlines()

    assert lines[0].split("  ")[0].strip() == "tiling"
    assert lines[1].split() == ["inner", "0", "30.12", "1.057", "0.0123", "12.3"]
    assert lines[2].split()[:2] == ["outer", "16"]


def test_what_has_been_scored_is_not_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table.json"
    for key in ("inner/0", "outer/16"):
        add_run(out, {"model": "best.safetensors"}, key, {"metrics": METRICS})
    monkeypatch.setattr(padding_table, "evaluate", lambda *_, **__: pytest.fail("it was scored again"))
    arguments = ["--inner", "0", "--outer", "16", "--model", "best.safetensors", "--out", str(out)]

    assert padding_table.main(arguments) == 0
    assert "30.12" in capsys.readouterr().out


def test_images_that_are_not_there_are_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USPLIT_DATA", str(tmp_path / "nowhere"))

    assert padding_table.main(["--out", str(tmp_path / "table.json")]) == 2
    assert "set USPLIT_DATA" in capsys.readouterr().err
