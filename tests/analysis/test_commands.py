"""`usplit freeze`, `figures`, `report` and `compare`, on a store and on the file that was frozen from it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from study.cli import app
from tests.analysis.tiny_study import STUDY, TinyStore
from usplit_core.errors import UserError


@pytest.fixture(scope="module")
def store(tiny_store: TinyStore) -> Iterator[Path]:
    """Return the tiny store with the ledger by which commands know one."""
    ledger = tiny_store.folder / "ledger.sqlite"
    ledger.touch()
    yield tiny_store.folder
    ledger.unlink()


@pytest.fixture(scope="module")
def frozen(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the frozen tiny study."""
    path = tmp_path_factory.mktemp("frozen") / f"{STUDY}.parquet"
    assert "draw it with `usplit figures" in usplit("freeze", STUDY, "--store", store, "--out", path).output
    return path


def usplit(*words: str | Path) -> Result:
    """Call the command; what a user may do wrong comes back as an exception."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_figures_of_the_file_are_those_of_the_store(store: Path, frozen: Path, tmp_path: Path) -> None:
    for name, words in (("store", (STUDY, "--store", store)), ("file", (frozen,))):
        done = usplit("figures", *words, "--out", tmp_path / name)
        assert done.exit_code == 0
        assert "report: " in done.output
    drawn = sorted(path.relative_to(tmp_path / "store") for path in (tmp_path / "store" / "figures").iterdir())
    assert len(drawn) == 18
    tables = {f"{name}{ending}" for name in ("results", "effects") for ending in (".md", ".tex", ".csv")}
    assert {path.name for path in (tmp_path / "store" / "tables").iterdir()} == tables
    for path in [*drawn, *(Path("tables") / name for name in tables)]:
        assert (tmp_path / "store" / path).read_bytes() == (tmp_path / "file" / path).read_bytes()


def test_the_report_of_a_file_lies_beside_it(frozen: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(frozen, tmp_path / "kept.parquet"))
    done = usplit("report", copy)
    assert "1.75 dB more than LC depth 0" in done.output
    page = (tmp_path / "kept" / "report.html").read_text("utf-8")
    assert "Effects of the factors" in page
    assert "How to reproduce" in page
    assert "Best configuration" in page


def test_levels_are_compared_in_a_table_that_can_be_kept(frozen: Path, tmp_path: Path) -> None:
    done = usplit("compare", frozen, "--factor", "model.lc_depth", "--out", tmp_path / "effects.csv")
    assert "+1.75 (+1.70 to +1.80)" in done.output
    header, row = (tmp_path / "effects.csv").read_text("utf-8").splitlines()
    assert header.startswith("factor,level,against,")
    assert row.startswith("LC depth,2,0,")
    assert row.endswith(",2")


def test_studies_are_compared_side_by_side(frozen: Path, store: Path) -> None:
    done = usplit("compare", frozen, STUDY, "--store", store)
    assert done.output.count("LC depth 2") == 2
    assert "0.00 (0.00 to 0.00), n = 2" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--factor", "model.lc_dept"), "did you mean"),
        (("--factor", "model.depth"), "fewer than two levels"),
        (("--metric", "test/sim"), "there is no such metric"),
        (("--out", "table.docx"), "must be one of .md, .tex, .csv"),
    ],
)
def test_what_cannot_be_compared_is_refused(frozen: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(Exception, match=message):
        usplit("compare", frozen, *words)


def test_places_that_cannot_be_used_are_refused(frozen: Path, tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    with pytest.raises(UserError, match="name a folder that may be written to"):
        usplit("figures", frozen, "--out", tmp_path / "a_file")
    with pytest.raises(UserError, match=r"name it .*study\.parquet"):
        usplit("freeze", frozen, "--out", tmp_path / "study.pq")


def test_a_tracking_store_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    with pytest.raises(UserError, match="cannot be read"):
        usplit("figures", STUDY, "--store", tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="there is no file"):
        usplit("figures", tmp_path / "none.parquet")
