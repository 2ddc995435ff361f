"""The example notebook runs as it stands."""

import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "first_study.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_example_notebook_runs_and_computes_nothing_twice(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call] # it brings no types
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    texts = [
        output["data"]["text/plain"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output
    ]
    assert texts[0] == "(4, 16, True)"
    assert texts[1] == "(0, 8)"


def test_the_notebook_is_stored_without_places_of_a_machine() -> None:
    text = NOTEBOOK.read_text("utf-8")
    assert str(Path.home()) not in text
    assert tempfile.gettempdir() not in text
