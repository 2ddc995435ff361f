"""Too many failures of one kind stop a study with one message."""

import pytest
import torch

from study.engine.failures import FailureCount
from study.engine.trial import failure_kind
from usplit_core.errors import DataError
from usplit_core.training import TrainingDiverged


def test_a_few_failures_stop_nothing() -> None:
    failures = FailureCount(allowed=2)
    assert [failures.add("diverged", "loss") for _ in range(2)] == ["", ""]


def test_one_kind_too_often_names_the_last_reason_and_the_remedy() -> None:
    failures = FailureCount(allowed=1)
    failures.add("memory", "memory: 9 GB")
    message = failures.add("memory", "memory: 10 GB")
    assert message.startswith("2 trials failed in the same way")
    assert "10 GB" in message
    assert "train.batch_size" in message


def test_kinds_are_counted_apart() -> None:
    failures = FailureCount(allowed=1)
    assert [failures.add(kind, "reason") for kind in ("memory", "diverged", "lost", "error")] == [""] * 4


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TrainingDiverged("loss is not finite"), "diverged"),
        (DataError("too small"), "user"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (MemoryError(), "memory"),
        (ZeroDivisionError("division by zero"), "error"),
        (RuntimeError("shapes differ"), "error"),
    ],
)
def test_a_failure_is_told_by_its_kind(error: Exception, kind: str) -> None:
    assert failure_kind(error) == kind
