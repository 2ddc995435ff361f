"""A small study in a real store, made once a session."""

import pytest

from analysis.records import StudyRecord
from analysis.store import read_study
from tests.analysis.tiny_study import STUDY, TinyStore, write_study


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> TinyStore:
    """Return a store that holds one study of 2 LC depths x 2 seeds x 4 tilings, and one failed trial."""
    return write_study(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def record(tiny_store: TinyStore) -> StudyRecord:
    """Return the tiny study, read back."""
    return read_study(tiny_store.uri, STUDY)
