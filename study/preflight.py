"""What is looked at before anything is trained: every run must fit its images and its network."""

from collections.abc import Mapping, Sequence

from study.datasets import DataKey, Dataset, data_key
from study.design import PlannedTrial
from usplit_core.config import check_tiling
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
        dataset = datasets[data_key(trial.run.data)]
        case = (trial.run.data, trial.run.model.patch_px)
        if case not in seen:
            seen.add(case)
            parts = split(dataset.frames.pixels, trial.run.data)
            check_size(parts, trial.run.model.patch_px)
            fit_statistics(parts.train, trial.run.data)
