"""Storage is asked whether it is one place everywhere; each node may map its name to another one."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from study.cluster import storage
from study.cluster.storage import SharedFolder, answer, asked, open_storage, unanswered
from study.errors import StoreError
from study.sharing.objects import Objects, open_objects


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PATIENCE_S", 0.3)


def ask(root: Path, places: Mapping[str, Path]) -> dict[str, str]:
    """Return what is wrong with the store by node, where each node has its own place under the store's name."""
    storage = SharedFolder(root)
    with asked(storage) as nonce:
        views = {node: answer(str(place), nonce.folder, node) for node, place in places.items()}
        missing = unanswered(storage, nonce, [node for node, view in views.items() if not view.problem])
    return {node: "no answer" if node in missing else view.problem for node, view in views.items()}


def test_a_shared_folder_passes_and_keeps_nothing(tmp_path: Path) -> None:
    assert ask(tmp_path, {"a": tmp_path, "b": tmp_path}) == {"a": "", "b": ""}
    assert list(tmp_path.iterdir()) == []


def test_the_view_of_a_node_has_space_and_speed(tmp_path: Path) -> None:
    with asked(SharedFolder(tmp_path)) as nonce:
        view = answer(str(tmp_path), nonce.folder, "a")
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
    with asked(SharedFolder(tmp_path)) as nonce:
        copy = tmp_path / "copy"
        (copy / nonce.folder).mkdir(parents=True)
        (copy / nonce.folder / "question").write_text(nonce.text)
        assert answer(str(copy), nonce.folder, "a").problem == ""
        assert unanswered(SharedFolder(tmp_path), nonce, ["a"]) == {"a"}


def test_a_folder_that_cannot_be_written_to_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: SharedFolder, name: str, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", name)

    with asked(SharedFolder(tmp_path)) as nonce:
        monkeypatch.setattr(SharedFolder, "write", refuse)
        assert answer(str(tmp_path), nonce.folder, "a").problem == "it cannot be read and written (Permission denied)"


def test_a_late_file_system_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PATIENCE_S", 10.0)
    with asked(SharedFolder(tmp_path)) as nonce:
        hidden = tmp_path / "hidden"
        question = tmp_path / nonce.folder / "question"
        question.rename(hidden)
        threading.Timer(0.3, hidden.rename, [question]).start()
        assert answer(str(tmp_path), nonce.folder, "a").problem == ""


def test_an_answer_to_another_question_does_not_count(tmp_path: Path) -> None:
    with asked(SharedFolder(tmp_path)) as nonce:
        answer(str(tmp_path), nonce.folder, "a")
        assert unanswered(SharedFolder(tmp_path), nonce._replace(text="another"), ["a"]) == {"a"}


def test_an_object_store_is_asked_in_the_same_way_and_keeps_nothing() -> None:
    address = "memory:///asked"
    with asked(open_storage(address)) as nonce:
        view = answer(address, nonce.folder, "a")
        assert unanswered(open_storage(address), nonce, ["a", "b"]) == {"b"}
    assert view.problem == ""
    assert view.free_bytes > 0
    assert view.megabytes_per_second > 0
    assert open_objects(address).keys("") == []


def test_a_node_that_reaches_another_object_store_is_found_out() -> None:
    with asked(open_storage("memory:///here")) as nonce:
        assert "another object store" in answer("memory:///there", nonce.folder, "a").problem


def test_a_node_without_keys_says_what_the_object_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(objects: Objects, key: str) -> None:
        raise StoreError("s3://bucket answers 403 AccessDenied")

    with asked(open_storage("memory:///denied")) as nonce:
        monkeypatch.setattr(Objects, "read", deny)
        view = answer("memory:///denied", nonce.folder, "a")
    assert view.problem == "it cannot be read and written (s3://bucket answers 403 AccessDenied)"
