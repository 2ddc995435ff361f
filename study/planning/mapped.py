"""Images that are larger than memory: they stay in files, which every node maps.

Smaller ones are read once, by the process that starts the study, and sent to each node.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from study.planning.cache import node_arrays
from study.planning.machine import memory_bytes
from usplit_core.config import DataConfig
from usplit_core.data.frames import SYNTHETIC_PREFIX, Frames, read_frames
from usplit_core.data.header import read_header
from usplit_core.data.shared_arrays import ArrayCache
from usplit_core.errors import DataError

#: Images of more than this part of the memory are mapped: the process that reads them and the node's shared memory
#: would hold one copy each.
_PART_OF_MEMORY = 0.25
#: No file of images is compressed further than this: those that stay smaller even so need not be looked into.
_MOST_COMPRESSED = 200


class MappedImages(NamedTuple):
    """What a worker gets instead of pixels: which files it maps, and the hash of the pixels that they must hold."""

    data: DataConfig
    content: str


class NodeImages(NamedTuple):
    """Frames (N, C, Y, X) as a worker has them, and where it shares what it makes of them."""

    pixels: NDArray[Any]
    arrays: ArrayCache | None


def exceeds_memory(data: DataConfig, file_bytes: int) -> bool:
    """Say whether images are mapped: by their size in memory, and what `USPLIT_MAP_ABOVE_GB` says.

    Parameters
    ----------
    data
        Which images.
    file_bytes
        The size of their files.

    Raises
    ------
    DataError
        If the files cannot be read, or `USPLIT_MAP_ABOVE_GB` is no number.
    """
    most = _most_bytes()
    if _MOST_COMPRESSED * file_bytes <= most or str(data.path).startswith(SYNTHETIC_PREFIX):
        return False
    return read_header(data.path, axes=data.axes).nbytes > most


def map_frames(data: DataConfig, identity: Mapping[str, Any]) -> Frames:
    """Return frames whose pixels are not in memory.

    Parameters
    ----------
    data
        Which images.
    identity
        What says that files are the same ones: pixels that must be brought into another form are known by it.

    Raises
    ------
    DataError
        If the files cannot be read, or there is no place for what must be brought into another form.
    """
    return read_frames(data.path, axes=data.axes, channels=data.channels, arrays=_must_map(node_arrays(files=identity)))


def mapped_arrays(content: str) -> ArrayCache:
    """Return where processes share what they make of mapped images.

    Raises
    ------
    DataError
        If there is no such place.
    """
    return _must_map(node_arrays(content=content))


def _must_map(arrays: ArrayCache | None) -> ArrayCache:
    if arrays is None:
        raise DataError(
            "the images are larger than memory, and there is no folder to map them from: name one of your own, "
            "on a local disk, in USPLIT_CACHE"
        )
    return arrays._replace(must_map=True)


def _most_bytes() -> float:
    named = os.environ.get("USPLIT_MAP_ABOVE_GB")
    try:
        return _PART_OF_MEMORY * memory_bytes() if not named else float(named) * 1e9
    except ValueError:
        raise DataError(f"USPLIT_MAP_ABOVE_GB = {named!r}: give a number of gigabytes, such as 8") from None
