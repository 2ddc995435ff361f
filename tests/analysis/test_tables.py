"""The results table and its four renderers."""

import pytest

from analysis.records import MissingRuns, StudyRecord
from analysis.tables import Column, Row, Table, results_table, to_html, to_latex, to_markdown, to_text

HOSTILE = Table((Column("a & b", "left"), Column("<n>", "right")), (Row(("50 % of_x|y", "1 ± 2"), True),), "note")


def test_a_row_has_its_levels_mean_with_spread_and_n(record: StudyRecord) -> None:
    table = results_table(record)
    assert [column.heading for column in table.columns] == [
        "LC depth", "tiling", "padding (px)", "scale-invariant PSNR (dB)", "PSNR (dB)", "SSIM", "n",
    ]  # fmt: skip
    assert len(table.rows) == 8
    assert table.rows[1].cells == ("0", "inner", "16", "30.50 ± 0.14", "29.50 ± 0.14", "0.900 ± 0.000", "2")
    assert [row.cells[:3] for row in table.rows if row.best] == [("2", "inner", "16")]


def test_one_seed_has_no_spread(record: StudyRecord) -> None:
    single = record._replace(evaluations=tuple(row for row in record.evaluations if row.seed == 0))
    assert results_table(single).rows[1].cells[3:] == ("30.40", "29.40", "0.900", "1")


def test_a_study_without_results_says_so(record: StudyRecord) -> None:
    with pytest.raises(MissingRuns, match="No finished run has"):
        results_table(record._replace(evaluations=()))


def test_text_is_aligned(record: StudyRecord) -> None:
    lines = to_text(results_table(record)).splitlines()
    assert len({len(line) for line in lines[:10]}) == 1
    assert [line.split()[1:4] for line in lines if line.startswith("*")] == [["2", "inner", "16"]]


def test_every_renderer_escapes_its_signs() -> None:
    assert "| **50 % of_x\\|y** |" in to_markdown(HOSTILE)
    assert r"a \& b & \textless{}n\textgreater{} \\" in to_latex(HOSTILE)
    assert r"\textbf{50 \% of\_x\textbar{}y} & \textbf{1 $\pm$ 2} \\" in to_latex(HOSTILE)
    wild = Table((Column("p", "left"),), (Row((r"C:\~x^2",), False),), "note")
    assert r"C:\textbackslash{}\textasciitilde{}x\textasciicircum{}2 \\" in to_latex(wild)
    assert "&lt;n&gt;" in to_html(HOSTILE)
    assert '<tr class="best">' in to_html(HOSTILE)
