"""The images of a study: known by the hash of their pixels, read once, and only where pixels are needed.

Images that are larger than memory are mapped, see `study.planning.mapped`.

The hash of a file is remembered in the user's cache, under all that shows that the file is still the same one:
its place, size, inode and times. A study that has been planned or run before reads no images to be recognised.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.planning.cache import Key, node_arrays, recall, remember, user_cache
from study.planning.mapped import MappedImages, NodeImages, exceeds_memory, map_frames, mapped_arrays
from usplit_core import __version__
from usplit_core.config import DataConfig, RunConfig
from usplit_core.data.content import CONTENT_VERSION, content_hash
from usplit_core.data.files import files_of
from usplit_core.data.frames import SYNTHETIC_PREFIX, Frames, read_frames
from usplit_core.data.locate import locate
from usplit_core.errors import DataError

#: What decides which pixels are read: path, axes, channels.
DataKey = tuple[object, ...]

#: A file that was written a moment ago may be written again without a change of its times.
_SETTLED_SECONDS = 2.0


class Outline(NamedTuple):
    """What is known of frames without their pixels."""

    content: str
    shape: tuple[int, int, int, int]  # (N, C, Y, X)
    dtype: str
    channel_names: tuple[str, ...]


class Dataset:
    """Frames that are read when they are first asked for, and what is known of them before."""

    def __init__(
        self,
        outline: Outline,
        read: Callable[[], Frames],
        *,
        mapped: DataConfig | None = None,
        frames: Frames | None = None,
    ) -> None:
        """Take what is known, and what reads the frames; `mapped` names those that are larger than memory."""
        self.outline = outline
        self._read = read
        self._mapped = mapped
        self._frames = frames

    @property
    def content(self) -> str:
        """The hash of the pixels."""
        return self.outline.content

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The names of the structure channels."""
        return self.outline.channel_names

    @property
    def frames(self) -> Frames:
        """The frames.

        Raises
        ------
        DataError
            If they cannot be read, or are no longer what they were.
        """
        if self._frames is None:
            self._frames = self._read()
        return self._frames

    @property
    def is_mapped(self) -> bool:
        """Whether the pixels stay in files, since memory may not hold them."""
        return self._mapped is not None

    @property
    def sent(self) -> NDArray[Any] | MappedImages:
        """What workers get: the pixels, or which files they map; errors as of `frames`."""
        return self.frames.pixels if self._mapped is None else MappedImages(self._mapped, self.content)

    def release(self) -> None:
        """Keep frames that are in memory no longer: they are read again if anybody asks for them."""
        if self._mapped is None:
            self._frames = None


def open_images(sent: NDArray[Any] | MappedImages, content: str) -> NodeImages:
    """Return the frames that a worker was sent, in the memory of its node or in files there.

    Raises
    ------
    DataError
        If the files are not there, or hold other pixels.
    """
    if not isinstance(sent, MappedImages):
        return NodeImages(sent, node_arrays(content=content))
    identity = _identity(sent.data)
    frames = map_frames(sent.data, identity)
    known = _recall(identity) or _take_note(frames, sent.data, identity)
    if known.content != content:
        raise DataError(
            f"data.path = {sent.data.path!r} holds other images on this node than where the study was started: "
            "name a path that is the same everywhere"
        )
    return NodeImages(frames.pixels, mapped_arrays(content))


def data_key(data: DataConfig) -> DataKey:
    """Return what decides which pixels a data section names."""
    return (data.path, data.axes, data.channels)


def read_datasets(runs: Iterable[RunConfig]) -> dict[DataKey, Dataset]:
    """Return the images of all runs, each set of channels once; read only where their content is not known yet.

    Raises
    ------
    DataError
        If a file cannot be read or used.
    """
    datasets: dict[DataKey, Dataset] = {}
    for run in runs:
        key = data_key(run.data)
        if key not in datasets:
            datasets[key] = _dataset(run.data)
    return datasets


def shared_bytes(datasets: Mapping[DataKey, Dataset]) -> int:
    """Return the size of all frames in memory, which the workers of a machine share."""
    outlines = {dataset.content: dataset.outline for dataset in datasets.values() if not dataset.is_mapped}
    return sum(math.prod(outline.shape) * np.dtype(outline.dtype).itemsize for outline in outlines.values())


def _dataset(data: DataConfig) -> Dataset:
    identity = _identity(data)
    is_mapped = exceeds_memory(data, sum(entry[1] for entry in identity["files"] if len(entry) > 2))
    mapped = data if is_mapped else None
    outline, frames = _recall(identity), None
    if outline is None:
        frames = _read(data, identity, is_mapped=is_mapped)
        outline = _take_note(frames, data, identity)
    return Dataset(outline, lambda: _read_again(data, identity, is_mapped=is_mapped), mapped=mapped, frames=frames)


def _take_note(frames: Frames, data: DataConfig, identity: Key) -> Outline:
    """Look at all pixels, and remember what is known of them."""
    outline = Outline(content_hash(frames.pixels), _shape(frames), frames.pixels.dtype.str, tuple(frames.channel_names))
    if _identity(data) == identity and _settled(identity):
        remember(_folder(), identity, outline._asdict())
    return outline


def _read(data: DataConfig, identity: Key, *, is_mapped: bool) -> Frames:
    if is_mapped:
        return map_frames(data, identity)
    return read_frames(data.path, axes=data.axes, channels=data.channels)


def _read_again(data: DataConfig, identity: Key, *, is_mapped: bool) -> Frames:
    frames = _read(data, identity, is_mapped=is_mapped)
    if _identity(data) != identity:
        raise DataError(
            f"data.path = {data.path!r} has changed since the study was checked: start it again, "
            "and leave the images alone while it starts"
        )
    return frames


def _shape(frames: Frames) -> tuple[int, int, int, int]:
    count, channels, height, width = frames.pixels.shape
    return count, channels, height, width


def _folder() -> Path:
    return user_cache() / "content"


def _recall(identity: Key) -> Outline | None:
    found = recall(_folder(), identity)
    try:
        outline = Outline(**found)  # type: ignore[arg-type] # whatever the file holds is checked here
        count, channels, height, width = map(int, outline.shape)
        return Outline(
            str(outline.content), (count, channels, height, width), str(outline.dtype), tuple(outline.channel_names)
        )
    except (TypeError, ValueError):
        return None


def _identity(data: DataConfig) -> Key:
    """Return what says that files are the same ones, without reading them; JSON-able."""
    names = (data.path,) if isinstance(data.path, str) else data.path
    return {
        "files": [entry for name in names for entry in _files(name)],
        "axes": data.axes,
        "channels": list(data.channels),
        "version": [__version__, CONTENT_VERSION],
    }


def _files(name: str) -> list[list[Any]]:
    if name.startswith(SYNTHETIC_PREFIX):
        return [[name]]
    path = locate(name).resolve()
    return [[str(path), path.is_dir()], *(_stamp(file) for file in files_of(path))]


def _stamp(file: Path) -> list[Any]:
    found = file.stat()
    return [str(file), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _settled(identity: Key) -> bool:
    times = [max(entry[2:4]) for entry in identity["files"] if len(entry) > 2]
    return not times or time.time_ns() - max(times) > _SETTLED_SECONDS * 1e9
