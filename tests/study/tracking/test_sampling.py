"""Work that is repeated beside a training."""

import threading

import pytest

from study.tracking.sampling import repeated


def test_work_goes_on_after_storage_has_failed_and_ends_with_the_context() -> None:
    calls, enough = 0, threading.Event()

    def work() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(28, "No space left on device")
        enough.set()

    before = threading.active_count()
    with repeated(work, 0.001):
        assert enough.wait(20)
    assert threading.active_count() == before


def test_an_error_of_the_training_passes_and_ends_the_work() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="of the training"), repeated(lambda: None, 0.001):
        raise ValueError("of the training")
    assert threading.active_count() == before
