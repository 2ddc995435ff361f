"""Arrays are filled once on a machine, whatever happens to those who fill them, and are the same shared or not."""

import math
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from usplit_core.data.shared_arrays import ArrayCache, private_folder, remove_unused, shared_array

#: The smallest that are shared.
SHAPE = (4, 256, 256)
PROCESSES = multiprocessing.get_context("spawn")


@pytest.fixture
def arrays(tmp_path: Path) -> ArrayCache:
    """Return an empty cache."""
    return ArrayCache(tmp_path, {"content": "abc"})


def put(number: float) -> Callable[[NDArray[Any]], None]:
    def fill(into: NDArray[Any]) -> None:
        into[...] = number

    return fill


def never(into: NDArray[Any]) -> None:
    pytest.fail("the array was filled again")


def fill_slowly(arrays: ArrayCache, number: int, together: Barrier, said: Any) -> None:
    """Ask for an array at the same time as others, fill it if need be, and say so."""

    def fill(into: NDArray[Any]) -> None:
        said.put(("filling", number))
        time.sleep(0.5)  # so that the others ask meanwhile
        into[...] = number

    together.wait(30)
    found = shared_array(arrays, SHAPE, np.float32, fill)
    assert found.min() == found.max()
    said.put(("found", int(found.min())))
    together.wait(30)


def hang_while_filling(arrays: ArrayCache, begun: Event) -> None:
    def fill(into: NDArray[Any]) -> None:
        into[0] = 9
        begun.set()
        time.sleep(60)  # until it is killed

    shared_array(arrays, SHAPE, np.float32, fill)


def use(arrays: ArrayCache, used: Event, dropped: Event) -> None:
    """Keep an array until `dropped` is set."""
    kept = shared_array(arrays, SHAPE, np.float32, put(1))
    used.set()
    dropped.wait(30)
    assert kept[0, 0, 0] == 1


def files(arrays: ArrayCache) -> list[str]:
    return sorted(path.suffix for path in arrays.folder.iterdir())


def test_an_array_is_filled_once_and_cannot_be_written_to(arrays: ArrayCache) -> None:
    first = shared_array(arrays, SHAPE, np.float32, put(1))
    second = shared_array(arrays, SHAPE, np.float32, never)
    assert np.array_equal(second, np.ones(SHAPE, np.float32))
    assert not first.flags.writeable
    assert files(arrays) == [".array"]


def test_whatever_an_array_follows_from_tells_it_from_others(arrays: ArrayCache) -> None:
    for number, other in enumerate([arrays, arrays.of(level=1), arrays.of(level=2), arrays.of(clip=np.inf)]):
        shared_array(other, SHAPE, np.float32, put(number))
    shared_array(arrays, SHAPE, np.int32, put(4))
    assert shared_array(arrays.of(level=2), SHAPE, np.float32, never)[0, 0, 0] == 2
    assert len(files(arrays)) == 5


def test_small_arrays_and_those_without_a_folder_are_a_process_s_own(arrays: ArrayCache) -> None:
    assert not isinstance(shared_array(None, SHAPE, np.float32, put(1)), np.memmap)
    assert not isinstance(shared_array(arrays, (0, 3), np.float32, put(1)), np.memmap)
    assert not isinstance(shared_array(arrays, SHAPE[1:], np.float32, put(1)), np.memmap)
    assert files(arrays) == []


@pytest.mark.parametrize("obstacle", ["no folder", "a file for a folder", "a full disk", "no blocks"])
def test_where_no_file_can_be_written_the_array_is_there_all_the_same(
    arrays: ArrayCache, obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_blocks(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if obstacle == "no folder":
        arrays = arrays._replace(folder=arrays.folder / "none")
    elif obstacle == "a file for a folder":
        (arrays.folder / "file").touch()
        arrays = arrays._replace(folder=arrays.folder / "file")
    elif obstacle == "a full disk":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    else:
        monkeypatch.setattr(os, "posix_fallocate", no_blocks)
    found = shared_array(arrays, SHAPE, np.float32, put(3))
    assert not isinstance(found, np.memmap)
    assert np.array_equal(found, np.full(SHAPE, 3, np.float32))


def test_an_error_while_an_array_is_filled_is_passed_on_and_the_next_one_fills_it(arrays: ArrayCache) -> None:
    def fail(into: NDArray[Any]) -> None:
        into[0] = 9
        raise OSError("a source that cannot be read")

    with pytest.raises(OSError, match="cannot be read"):
        shared_array(arrays, SHAPE, np.float32, fail)
    assert np.array_equal(shared_array(arrays, SHAPE, np.float32, put(2)), np.full(SHAPE, 2, np.float32))


def test_of_several_processes_one_fills_and_the_others_wait(arrays: ArrayCache) -> None:
    together, said = PROCESSES.Barrier(4), PROCESSES.Queue()
    processes = [PROCESSES.Process(target=fill_slowly, args=(arrays, number, together, said)) for number in range(4)]
    for process in processes:
        process.start()
    words = [said.get(timeout=30) for _ in range(5)]
    for process in processes:
        process.join(30)
    filler = words[0][1]
    assert words == [("filling", filler), *[("found", filler)] * 4]


def test_a_process_that_is_killed_while_it_fills_blocks_nobody(arrays: ArrayCache) -> None:
    begun = PROCESSES.Event()
    filler = PROCESSES.Process(target=hang_while_filling, args=(arrays, begun))
    filler.start()
    assert begun.wait(30)
    assert filler.pid is not None
    os.kill(filler.pid, signal.SIGKILL)
    filler.join(10)
    assert files(arrays) == [".partial"]
    assert np.array_equal(shared_array(arrays, SHAPE, np.float32, put(2)), np.full(SHAPE, 2, np.float32))
    assert files(arrays) == [".array"]


def test_a_file_is_removed_when_no_process_uses_it(arrays: ArrayCache) -> None:
    used, dropped = PROCESSES.Event(), PROCESSES.Event()
    user = PROCESSES.Process(target=use, args=(arrays, used, dropped))
    user.start()
    assert used.wait(30)
    remove_unused(arrays.folder)
    assert files(arrays) == [".array"]
    dropped.set()
    user.join(30)
    assert user.exitcode == 0
    assert files(arrays) == []  # it tidied up when it ended


def test_an_array_of_this_process_counts_as_used_for_as_long_as_it_lives(arrays: ArrayCache) -> None:
    kept = shared_array(arrays, SHAPE, np.float32, put(1))
    part = kept[1:]
    del kept
    remove_unused(arrays.folder)
    assert files(arrays) == [".array"]
    del part
    remove_unused(arrays.folder, idle_seconds=60)
    assert files(arrays) == [".array"]
    remove_unused(arrays.folder)
    assert files(arrays) == []


def test_room_is_made_by_removing_what_nobody_uses(arrays: ArrayCache, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_array(arrays, SHAPE, np.float32, put(1))
    size = 4 * math.prod(SHAPE)

    def usage(folder: Path) -> Any:
        taken = sum(path.stat().st_size for path in Path(folder).iterdir())
        return shutil._ntuple_diskusage(2 * size, taken, 3 * size // 2 - taken)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert isinstance(shared_array(arrays.of(level=1), SHAPE, np.float32, put(2)), np.memmap)
    assert files(arrays) == [".array"]


def test_a_folder_where_others_could_write_is_not_used(tmp_path: Path) -> None:
    assert private_folder(tmp_path / "own") == tmp_path / "own"
    (tmp_path / "own").chmod(0o777)
    assert private_folder(tmp_path / "own") is None
    (tmp_path / "link").symlink_to(tmp_path)
    assert private_folder(tmp_path / "link") is None
    (tmp_path / "file").touch()
    assert private_folder(tmp_path / "file") is None
