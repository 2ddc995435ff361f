"""Images that are larger than memory train and score as if they were in it, and are not in it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from study.engine.trial import Assignment, Message, Sent, run_trial
from study.planning import machine
from study.planning.datasets import Dataset, data_key, open_images, read_datasets
from study.planning.mapped import MappedImages, exceeds_memory
from tests.usplit_core.trainings import tiny_run
from usplit_core.config import DataConfig, RunConfig, TilingConfig
from usplit_core.data import shared_arrays
from usplit_core.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 1000, (6, 2, 64, 64)).astype(np.uint16)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of this test's own, for files of any size."""
    monkeypatch.setenv("USPLIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shared_arrays, "_LEAST_BYTES", 0)
    return tmp_path / "cache"


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all images count as larger than memory."""
    monkeypatch.setenv("USPLIT_MAP_ABOVE_GB", "0")


@pytest.fixture
def run(tmp_path: Path) -> RunConfig:
    """Return a run on a file."""
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, metadata={"axes": "TCYX"}, compression="zlib")
    return tiny_run(data__path=str(tmp_path / "a.tif"), train__epochs=2)


def dataset(run: RunConfig) -> Dataset:
    return read_datasets([run])[data_key(run.data)]


def messages(folder: Path, run: RunConfig, content: str, sent: Sent) -> list[str]:
    """Return what a trial says but for times and places, all digits of it."""
    assignment = Assignment(
        fingerprint="tiny",
        attempt=1,
        label="tiny",
        folder=str(folder),
        run=run.model_dump(mode="json"),
        tilings=[TilingConfig(mode="outer", padding_px=4).model_dump()],
        content=content,
        channel_names=["a", "b"],
        cpus=1,
        gpus=0,
    )
    said: list[Message] = []
    run_trial(assignment, {content: sent}, said.append)
    return [_lasting(message) for message in said if message["kind"] != "started"]


def _lasting(message: Message) -> str:
    metrics: dict[str, Any] = message.get("metrics", {})
    kept = {key: value for key, value in metrics.items() if not key.startswith("cost/") and "second" not in key}
    return json.dumps({**message, "metrics": kept}, sort_keys=True)


@pytest.mark.parametrize("split", ["frame", "region"])
@pytest.mark.usefixtures("forced")
def test_a_trial_of_mapped_images_is_that_of_images_in_memory(
    split: str, tmp_path: Path, run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"split": split, "validation_fraction": 0.25, "test_fraction": 0.25}
    run = run.model_copy(update={"data": run.data.model_copy(update=parts)})
    mapped = dataset(run)
    assert mapped.is_mapped
    assert isinstance(mapped.sent, MappedImages)
    said = messages(tmp_path / "mapped", run, mapped.content, mapped.sent)
    assert '"finished"' in said[-1]
    monkeypatch.setenv("USPLIT_MAP_ABOVE_GB", "1")
    in_memory = dataset(run)
    assert in_memory.content == mapped.content
    assert isinstance(in_memory.sent, np.ndarray)
    assert messages(tmp_path / "memory", run, in_memory.content, in_memory.sent) == said


@pytest.mark.usefixtures("forced")
def test_a_node_that_has_other_images_is_told_so(tmp_path: Path, run: RunConfig) -> None:
    sent = dataset(run).sent
    assert isinstance(sent, MappedImages)
    assert open_images(sent, sent.content).pixels.shape == PIXELS.shape
    tifffile.imwrite(tmp_path / "a.tif", PIXELS + 1, metadata={"axes": "TCYX"}, compression="zlib")
    with pytest.raises(DataError, match="other images on this node"):
        open_images(sent, sent.content)


@pytest.mark.usefixtures("forced")
def test_without_a_folder_mapped_images_are_refused(run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USPLIT_CACHE", "/dev/null/none")
    with pytest.raises(DataError, match="USPLIT_CACHE"):
        dataset(run)


def test_images_are_mapped_from_a_quarter_of_the_memory_on(run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, expected in ((4 * PIXELS.nbytes, False), (4 * PIXELS.nbytes - 4, True)):
        monkeypatch.setattr("study.planning.mapped.memory_bytes", lambda memory=memory: memory)
        assert exceeds_memory(run.data, PIXELS.nbytes) == expected


def test_a_size_that_is_no_number_is_refused(run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USPLIT_MAP_ABOVE_GB", "much")
    with pytest.raises(DataError, match="USPLIT_MAP_ABOVE_GB = 'much'"):
        exceeds_memory(run.data, PIXELS.nbytes)


@pytest.mark.usefixtures("forced")
def test_generated_images_are_never_mapped() -> None:
    assert not exceeds_memory(DataConfig(path="synthetic:glyphs?frames=3&seed=1"), 10**12)


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_CONTAINER_LIMITS", (limit,))
    unlimited = machine.memory_bytes()
    limit.write_text("max\n")
    assert machine.memory_bytes() == unlimited
    limit.write_text("1000000\n")
    assert machine.memory_bytes() == 1_000_000
