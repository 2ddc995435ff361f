"""A study is asked to stop through its store."""

from pathlib import Path

import pytest

from study.commands import stop
from study.commands.stop import stop_command
from study.engine.ledger_file import open_as_writer
from study.errors import StoreError
from study.store import Store


def test_a_study_that_has_just_begun_can_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "_PATIENCE_S", -1)
    store = Store(tmp_path)
    with open_as_writer(store.ledger, "small"), pytest.raises(StoreError, match="has not stopped"):
        stop_command("small", tmp_path)
    assert store.stop_request("small").exists()


def test_a_study_that_does_not_run_is_not_asked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with open_as_writer(store.ledger, "other"), pytest.raises(StoreError, match="other does"):
        stop_command("small", tmp_path)
    assert not store.stop_request("small").exists()
