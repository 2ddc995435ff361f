"""The study whose overhead `benchmarks.study_overhead` measures; like every search space it imports nothing heavy."""

from study.spec import Grid, Study

EPOCHS, TILINGS = 5, (8, 16)
#: Steps a second of the small network, about: what a training of so many seconds is made of.
STEPS_PER_SECOND = 10


def study_of(trainings: int, seconds: float) -> Study:
    """Return a study of two configurations, half of the trainings each."""
    return Study(
        name="overhead",
        question="What does a study cost beside its trainings?",
        base={
            "data.path": "synthetic:critters-n0?frames=12", "model.variant": "lean", "model.depth": 3,
            "model.filters": 16, "model.latent_channels": 16, "train.epochs": EPOCHS, "train.batch_size": 4,
            "train.steps_per_epoch": max(1, round(seconds * STEPS_PER_SECOND / EPOCHS)),
            "train.early_stop_patience": None,
        },
        train={"model.lc_depth": Grid(1, 2)},
        evaluate={"tiling.padding_px": Grid(*TILINGS)},
        replicates=trainings // 2,
    )  # fmt: skip
