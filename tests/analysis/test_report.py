"""The page about a study."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.figures import FigureResult, draw_figures
from analysis.html import Safe, tag
from analysis.records import StudyRecord
from analysis.report import write_report
from analysis.report_parts import cost_section, format_energy
from usplit_core.errors import OutputError

PLACES = {
    "Dashboard": "http://localhost:5000",
    "Store": "usplit_store/mlflow.db",
    "Look at <every> run": "mlflow ui --port 5000 & wait",
}


class _Page(HTMLParser):
    """Collects the elements of a page and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def page(record: StudyRecord, tmp_path_factory: pytest.TempPathFactory) -> _Page:
    folder = tmp_path_factory.mktemp("report")
    figures = draw_figures(record, folder / "figures")
    return parse(write_report(record, figures, folder, places=PLACES, notes=("A note from the runner.",)))


def test_the_page_needs_no_other_file(page: _Page) -> None:
    images = [attributes["src"] or "" for name, attributes in page.seen if name == "img"]
    assert len(images) == 9
    assert all(source.startswith("data:image/png;base64,") for source in images)
    assert not {"script", "link", "iframe"} & {name for name, _ in page.seen}


def test_the_page_answers_the_question_and_says_what_failed(page: _Page, record: StudyRecord) -> None:
    assert record.question in page.text
    assert "1.75 dB more than LC depth 0" in page.text
    assert 'the loss was <nan> & "inf" for 21 steps' in page.text
    assert "A note from the runner." in page.text
    assert all(words in page.text and place in page.text for words, place in PLACES.items())
    assert "The highest mean of all cells and tilings is that of LC depth 2" in page.text


def test_every_caption_of_a_score_states_n(page: _Page) -> None:
    assert page.text.count("n = 2 seeds a point") == 3
    assert "n = 1 trial a column" in page.text
    assert "n = 5 trials" in page.text


def test_energy_is_told_with_the_number_of_trials_or_said_to_be_unknown(record: StudyRecord) -> None:
    assert "the energy could not be read where they ran" in cost_section(record)
    first, *others = record.trials
    measured = first._replace(metrics={**first.metrics, "cost/energy_joules": 7200.0}, tags={"energy": "GPU"})
    text = cost_section(record._replace(trials=(measured, *others)))
    assert "2.0 Wh by GPU, n = 1 trials in which it could be read" in text
    assert [format_energy(joules) for joules in (3.4, 7200, 7.2e6)] == ["3 J", "2.0 Wh", "2.00 kWh"]


def test_the_cost_of_checkpoints_is_told_with_a_remedy_where_it_is_high(record: StudyRecord) -> None:
    assert "checkpoints" not in cost_section(record)

    def section(seconds: float) -> str:
        metrics = {"cost/train_seconds": 100.0, "cost/checkpoint_seconds": seconds}
        return cost_section(record._replace(trials=tuple(trial._replace(metrics=metrics) for trial in record.trials)))

    assert "took another 0.5 % of that." in section(0.5)
    assert "took another 8.0 % of that; a larger train.checkpoint_every_epochs" in section(8)


def test_images_have_a_text_for_those_who_do_not_see_them(page: _Page) -> None:
    assert all(attributes["alt"] for name, attributes in page.seen if name == "img")


def test_a_study_without_results_still_has_a_page(record: StudyRecord, tmp_path: Path) -> None:
    empty = record._replace(trials=(), evaluations=())
    missing = [FigureResult("lc_depth", "Lateral context", "", None, None, "run <it>")]
    page = parse(write_report(empty, missing, tmp_path, places={}))
    assert "No trial of the study has been evaluated yet" in page.text
    assert "Figures without data" in page.text
    assert "run <it>" in page.text


def test_a_folder_that_cannot_be_written_to_is_refused(record: StudyRecord, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(record, [], tmp_path / "file", places={})


def test_text_is_escaped_and_elements_are_not() -> None:
    assert tag("p", "a < b", tag("b", "c & d"), class_='"x"') == '<p class="&quot;x&quot;">a &lt; b<b>c &amp; d</b></p>'
    assert tag("td", None, Safe("<i>"), title=None) == "<td><i></td>"
