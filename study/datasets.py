"""The images of a study, read once however many trials use them."""

from collections.abc import Iterable
from typing import NamedTuple

from usplit_core.config import DataConfig, RunConfig
from usplit_core.data.frames import Frames, content_hash, read_frames

#: What decides which pixels are read: path, axes, channels.
DataKey = tuple[object, ...]


class Dataset(NamedTuple):
    """Frames and the hash of their pixels."""

    frames: Frames
    content: str


def data_key(data: DataConfig) -> DataKey:
    """Return what decides which pixels a data section names."""
    return (data.path, data.axes, data.channels)


def read_datasets(runs: Iterable[RunConfig]) -> dict[DataKey, Dataset]:
    """Read the images of all runs, each set of channels once.

    Raises
    ------
    DataError
        If a file cannot be read or used.
    """
    datasets: dict[DataKey, Dataset] = {}
    for run in runs:
        key = data_key(run.data)
        if key not in datasets:
            frames = read_frames(run.data.path, axes=run.data.axes, channels=run.data.channels)
            datasets[key] = Dataset(frames, content_hash(frames.pixels))
    return datasets
