"""What is looked at before anything is trained: every run must fit its images and its network.

That images passed is remembered by their content, so that the next look needs none of their pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from study.engine.trial_folder import read_result
from study.errors import StoreError
from study.planning.cache import Key, recall, remember, user_cache
from study.planning.datasets import DataKey, Dataset, data_key
from study.planning.design import PlannedTrial
from usplit_core import __version__
from usplit_core.config import RunConfig, check_tiling
from usplit_core.data.mixing import fit_statistics
from usplit_core.data.splits import check_size, split
from usplit_core.models.noise_model import noise_model_of


def check(trials: Sequence[PlannedTrial], datasets: Mapping[DataKey, Dataset]) -> None:
    """Refuse a study whose runs could not be trained or evaluated.

    Raises
    ------
    DataError
        If images are too few or too small, or a part of them is constant.
    ConfigError
        If a tiling does not fit a network.
    CheckpointError
        If a noise model cannot be used.
    """
    seen = set()
    for trial in trials:
        for tiling in trial.tilings:
            check_tiling(trial.run.model, tiling)
        noise_model_of(trial.run)
        case = (trial.run.data, trial.run.model.patch_px)
        if case not in seen:
            seen.add(case)
            _check_images(trial.run, datasets[data_key(trial.run.data)])


def check_origins(trials: Sequence[PlannedTrial], folder_of: Callable[[str], Path]) -> None:
    """Refuse trainings that go on from others which the store does not have.

    Raises
    ------
    StoreError
        Names the first of them.
    """
    for trial in trials:
        origin = trial.run.train.continue_from
        if origin is not None and read_result(folder_of(origin)) is None:
            raise StoreError(
                f"train.continue_from = {origin}: the store has no finished training of that fingerprint; "
                f"train it first, in {folder_of(origin).parent.parent}, or set train.continue_from to None"
            )


def _check_images(run: RunConfig, dataset: Dataset) -> None:
    passed = _passed(run, dataset)
    if recall(_folder(), passed) is True:
        return
    parts = split(dataset.frames.pixels, run.data)
    check_size(parts, run.model.patch_px)
    fit_statistics(parts.train, run.data)
    remember(_folder(), passed, True)


def _passed(run: RunConfig, dataset: Dataset) -> Key:
    settings = run.data.model_dump(mode="json", exclude={"path", "axes", "channels"})
    return {"content": dataset.content, "data": settings, "patch_px": run.model.patch_px, "version": __version__}


def _folder() -> Path:
    return user_cache() / "preflight"
