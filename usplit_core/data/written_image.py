"""Images that are written piece by piece, float32, and lie under their name whole or not at all.

Until one is finished it lies beside its place as ``.NAME.partial``, and ``.NAME.progress`` says how much of it is done,
so that the same call can go on with it.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from usplit_core.errors import OutputError

#: Side of the tiles (TIFF) or chunks (Zarr) that images are written in.
TILE_PX = 256
DTYPE = np.dtype("<f4")


class Layout(NamedTuple):
    """What an image will hold.

    Parameters
    ----------
    frame_axes, frame_lengths
        Axes that count frames, such as ``"TZ"``, and their lengths; the last varies fastest.
    channel_names
        C names.
    height, width
        Y and X of a frame, in px.
    pixel_size_um
        (y, x), or None if it is not known.
    """

    frame_axes: str
    frame_lengths: tuple[int, ...]
    channel_names: tuple[str, ...]
    height: int
    width: int
    pixel_size_um: tuple[float, float] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of all axes."""
        return (*self.frame_lengths, len(self.channel_names), self.height, self.width)

    @property
    def tile_rows(self) -> int:
        """Rows of tiles in a frame."""
        return -(-self.height // TILE_PX)


class Container(Protocol):
    """A file, or a folder, of some format on its way."""

    def needed_bytes(self) -> int:
        """Return the room that the finished image needs."""

    def create(self) -> None:
        """Begin it, with every pixel 0."""

    def open(self) -> None:
        """Get ready to write into what was begun."""

    def write_tiles(self, frame: int, row: int, pixels: NDArray[np.float32]) -> None:
        """Write one row of tiles (C, up to TILE_PX, X) of a frame."""

    def complete(self) -> None:
        """Do what is left to do when every pixel is there."""

    def close(self) -> None:
        """Leave it as it is."""


#: Makes a container of a path, of what it will hold, and of the identity of the call.
NewContainer = Callable[[Path, Layout, str], Container]


class WrittenImage:
    """One image on its way. Frames are written from top to bottom, one after the other."""

    def __init__(self, path: Path, layout: Layout, identity: str, container: NewContainer) -> None:
        """Begin an image, or go on with the one that was begun for the same `identity`.

        Raises
        ------
        OutputError
            If it cannot be written, or there is no room for it.
        """
        self.path, self.layout, self._identity = path, layout, identity
        self._partial, self._progress = (path.with_name(f".{path.name}.{end}") for end in ("partial", "progress"))
        self._container = container(self._partial, layout, identity)
        self._waiting: list[NDArray[np.float32]] = []  # rows (C, rows, X) that do not fill a row of tiles yet
        with _writable(path):
            self._done = self._read_progress()  # rows of tiles, over all frames
            if not self._done:
                self._create()
            self._container.open()

    def rows_done(self, frame: int) -> int:
        """Return how many rows of a frame are written already."""
        return min(max(self._done - frame * self.layout.tile_rows, 0) * TILE_PX, self.layout.height)

    def write(self, frame: int, rows: NDArray[np.float32]) -> None:
        """Append rows (C, rows, X) to a frame.

        Raises
        ------
        OutputError
            If the disk is full or gone.
        """
        self._waiting.append(rows)
        while True:
            wanted = min(TILE_PX, self.layout.height - self.rows_done(frame))
            if not wanted or sum(part.shape[1] for part in self._waiting) < wanted:
                return
            waiting = np.concatenate(self._waiting, axis=1)
            self._waiting = [waiting[:, wanted:]]
            with _writable(self.path):
                self._container.write_tiles(frame, self.rows_done(frame) // TILE_PX, waiting[:, :wanted])
                self._done += 1
                _replace(self._progress, json.dumps({"identity": self._identity, "done": self._done}))

    def finish(self) -> None:
        """Give the image its name.

        Raises
        ------
        OutputError
            If that cannot be done.
        """
        with _writable(self.path):
            self._container.complete()
            self._container.close()
            _put_in_place(self._partial, self.path)
            self._progress.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the image as it is, for the same call to go on with."""
        self._container.close()

    def discard(self) -> None:
        """Remove what has been written."""
        self._container.close()
        _remove(self._partial)
        self._progress.unlink(missing_ok=True)

    def _read_progress(self) -> int:
        if not (self._partial.exists() and self._progress.is_file()):
            return 0
        progress: dict[str, Any] = json.loads(self._progress.read_text("utf-8"))
        return int(progress["done"]) if progress["identity"] == self._identity else 0

    def _create(self) -> None:
        _remove(self._partial)
        needed, free = self._container.needed_bytes(), shutil.disk_usage(self._partial.parent).free
        if free < needed:
            raise OutputError(
                f"{self.path} needs {_in_words(needed)}, but {_in_words(free)} are free there: "
                "make room, or choose another folder"
            )
        try:
            self._container.create()
        except OSError:
            _remove(self._partial)
            raise


def _put_in_place(partial: Path, path: Path) -> None:
    """Give what is finished its name; an older image of that name goes."""
    if not partial.is_dir():
        partial.replace(path)
        return
    # A folder cannot take the place of another in one step: the older one steps aside first.
    older = path.with_name(f".{path.name}.older")
    _remove(older)
    if path.is_dir():
        path.replace(older)
    partial.replace(path)
    _remove(older)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}): choose a folder that exists and has room") from error


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)
