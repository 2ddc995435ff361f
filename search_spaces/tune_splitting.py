"""Which hyperparameters split best? A search instead of a grid.

Question    Which depth, width, learning rate and objective split best at a fixed number of steps?
Figures     optimisation, parallel, factor_importance, learning_curves
Command     usplit run search_spaces/tune_splitting.py
Trials      60 trainings at most, drawn by Optuna's TPE; ASHA stops those that fall behind. The others
            are evaluated.
Cost        12 GPU-hours at 20 TFLOP/s if none were stopped; ASHA leaves about a third. Small, an hour on two cores:
            usplit run search_spaces/tune_splitting.py --set "data.path=synthetic:critters-n0?frames=40" \
            --set model.filters=8 --set model.latent_channels=8 --set train.precision=float32 \
            --set train.batch_size=4 --set train.epochs=10 --set train.steps_per_epoch=20
Expected    None is published: the paper reports one setting. Learning rate and levels of context should
            matter most; `usplit plan` and a second search with another seed say how far to trust the winner.
Images      1000 frames of critters, generated
"""

from study.spec import ASHA, AtMost, Choice, IntRange, LogUniform, Only, Search, Study, Uniform
from usplit_core.presets import DATA_SETS, REDUCED

_HVAE = {"model.architecture": ("hvae",)}

STUDY = Study(
    name="tune_splitting",
    question="Which depth, width, learning rate and objective split best at a fixed number of steps?",
    base={**DATA_SETS["critters_n0"], **REDUCED},
    train={
        "model.architecture": Choice("hvae", "hae"),
        "model.variant": Choice("lean", "regular"),
        "model.depth": IntRange(2, 6),
        "model.lc_depth": IntRange(0, 5),
        "model.filters": Choice(32, 64),
        "model.latent_channels": Choice(32, 64, 128),
        "model.dropout": Uniform(0.0, 0.3),
        "train.learning_rate": LogUniform(1e-4, 5e-3),
        "objective.kl_normalisation": Choice("per_level", "image"),
        "objective.kl_weight": LogUniform(0.1, 10.0),
        "objective.free_bits": Uniform(0.0, 1.0),
    },
    design=Search(trials=60, sampler="tpe"),
    conditions=(
        AtMost("model.lc_depth", "model.depth"),
        # Only the HVAE has a KL divergence.
        Only("objective.kl_normalisation", where=_HVAE),
        Only("objective.kl_weight", where=_HVAE),
        Only("objective.free_bits", where=_HVAE),
    ),
    # What the search may look at is the validation part; test frames are for the answer.
    objective="validation/psnr_db",
    stopping=ASHA(grace_epochs=5, reduction=3),
)
