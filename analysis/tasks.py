"""Which factors of a study say what is split, and how its images are named.

A task is one kind of images. Factors of the network are compared with each other on the same task.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePath

from analysis.records import Settings, StudyRecord
from analysis.selection import describe, is_sampled, levels, pick, train_factors
from usplit_core.settings import Setting

#: Train factors that say which images are split: scores on different images are never compared with each other.
TASK = ("data.path", "data.channels")
_PATH = "data.path"
_KEPT = 128  # as many questions about a study as `analysis.selection` keeps


@lru_cache(_KEPT)
def task_factors(record: StudyRecord) -> tuple[str, ...]:
    """Return the train factors that say which images are split, and those that follow from them, such as the axes."""
    varied = train_factors(record)
    images = [name for name in varied if name in TASK]
    return tuple(name for name in varied if name in images or _follows(record, name, images))


def network_factors(record: StudyRecord) -> tuple[str, ...]:
    """Return the train factors that are compared with each other: all but those of the images."""
    tasks = task_factors(record)
    return tuple(name for name in train_factors(record) if name not in tasks)


def told_factors(record: StudyRecord) -> tuple[str, ...]:
    """Return the train factors that tell cells apart: all but those that follow from the images."""
    following = _following(record)
    return tuple(name for name in train_factors(record) if name not in following)


def _following(record: StudyRecord) -> set[str]:
    return set(task_factors(record)).difference(TASK)


def _follows(record: StudyRecord, name: str, images: Sequence[str]) -> bool:
    """Say whether a setting of the data is never compared on the same images: each of them has one level of it."""
    if not images or not name.startswith("data.") or is_sampled(record, name):
        return False
    found = {(*pick(trial.settings, images).values(), trial.settings.get(name)) for trial in record.trials}
    return len(found) == len({key[:-1] for key in found})


def task_name(record: StudyRecord, task: Settings) -> str:
    """Return the names of the files, with no more folders than tell the images of the study apart, and the channels."""
    words = []
    for name in TASK:
        if name in task:
            folders = _folders(record) if name == _PATH else 0
            words.append(_without_folders(task[name], folders))
    return "\n".join(words)


@lru_cache(_KEPT)
def _folders(record: StudyRecord) -> int:
    """Return how many folders the names of the images need so that no two are alike."""
    images = levels(record, _PATH)
    most = max((len(PurePath(file).parts) for value in images for file in _files(value)), default=1)
    distinct = (count for count in range(most) if len({_without_folders(v, count) for v in images}) == len(images))
    return next(distinct, most)


def _without_folders(value: Setting, kept: int) -> str:
    """Return the names of files, or of channels, with the last `kept` of their folders."""
    return " + ".join(str(PurePath(*PurePath(file).parts[-1 - kept :])) for file in _files(value))


def _files(value: Setting) -> list[str]:
    return [str(part).removeprefix("synthetic:") for part in (value if isinstance(value, tuple) else (value,))]


def describe_cell(record: StudyRecord, settings: Settings) -> str:
    """Return settings in words as `describe` does, but images by short names: all that they are would fill a figure."""
    following = _following(record)
    return describe({name: short_value(record, name, settings[name]) for name in settings if name not in following})


def short_value(record: StudyRecord, name: str, value: Setting) -> Setting:
    """Return the value of a setting; of the images, what `task_name` calls them."""
    return task_name(record, {name: value}) if name == _PATH and value is not None else value
