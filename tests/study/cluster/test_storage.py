"""A store is asked whether it is one folder everywhere; each node may map its path to another place."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from study.cluster import storage
from study.cluster.storage import answer, asked, refuse_object_store, unanswered
from study.errors import StoreError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PATIENCE_S", 0.3)


def ask(root: Path, places: Mapping[str, Path]) -> dict[str, str]:
    """Return what is wrong with the store by node, where each node has its own place under the store's name."""
    with asked(root) as nonce:
        views = {node: answer(place, nonce.folder, node) for node, place in places.items()}
        missing = unanswered(root, nonce, [node for node, view in views.items() if not view.problem])
    return {node: "no answer" if node in missing else view.problem for node, view in views.items()}


def test_a_shared_folder_passes_and_keeps_nothing(tmp_path: Path) -> None:
    assert ask(tmp_path, {"a": tmp_path, "b": tmp_path}) == {"a": "", "b": ""}
    assert list(tmp_path.iterdir()) == []


def test_the_view_of_a_node_has_space_and_speed(tmp_path: Path) -> None:
    with asked(tmp_path) as nonce:
        view = answer(tmp_path, nonce.folder, "a")
    assert view.free_bytes > 0
    assert view.megabytes_per_second > 0


def test_a_folder_of_the_same_name_on_another_disk_is_found_out(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    problems = ask(here, {"a": here, "b": there, "c": tmp_path / "nowhere"})
    assert problems["a"] == ""
    assert "another folder" in problems["b"]
    assert "no such folder" in problems["c"]


def test_a_copy_that_goes_one_way_only_is_found_out(tmp_path: Path) -> None:
    with asked(tmp_path) as nonce:
        copy = tmp_path / "copy"
        (copy / nonce.folder).mkdir(parents=True)
        (copy / nonce.folder / "question").write_text(nonce.text)
        assert answer(copy, nonce.folder, "a").problem == ""
        assert unanswered(tmp_path, nonce, ["a"]) == {"a"}


def test_a_folder_that_cannot_be_written_to_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with asked(tmp_path) as nonce:
        monkeypatch.setattr(storage, "_write", refuse)
        assert answer(tmp_path, nonce.folder, "a").problem == "it cannot be read and written (Permission denied)"


def test_a_late_file_system_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PATIENCE_S", 10.0)
    with asked(tmp_path) as nonce:
        hidden = tmp_path / "hidden"
        question = tmp_path / nonce.folder / "question"
        question.rename(hidden)
        threading.Timer(0.3, hidden.rename, [question]).start()
        assert answer(tmp_path, nonce.folder, "a").problem == ""


def test_an_answer_to_another_question_does_not_count(tmp_path: Path) -> None:
    with asked(tmp_path) as nonce:
        answer(tmp_path, nonce.folder, "a")
        assert unanswered(tmp_path, nonce._replace(text="another"), ["a"]) == {"a"}


@pytest.mark.parametrize("path", ["s3://bucket/store", "gs://bucket", "https://example.org/store"])
def test_an_object_store_is_refused_with_the_remedy(path: str) -> None:
    with pytest.raises(StoreError, match="Use a folder that all nodes mount"):
        refuse_object_store(Path(path))


@pytest.mark.parametrize("path", ["usplit_store", "/shared/store", "a:b/store", "~/store"])
def test_a_folder_is_no_object_store(path: str) -> None:
    refuse_object_store(Path(path))
