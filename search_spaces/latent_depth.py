"""How many latent levels does the hierarchy need, without and with lateral context?

Question    Every latent level doubles the field of view of a vanilla network within its patch; the deep
            variant adds levels above those with context. Where does quality end to grow?
Figures     latent_depth, kl_levels, memory
Command     usplit run search_spaces/latent_depth.py
Trials      27 trainings (vanilla with 1 to 5 levels, deep with 5 to 8; 3 seeds), 27 evaluations
Cost        14 GPU-hours at 20 TFLOP/s. Small, on two cores, a minute a training:
            usplit run search_spaces/latent_depth.py --set "data.path=synthetic:critters-n0?frames=40" \
            --set model.filters=8 --set model.latent_channels=8 --set train.precision=float32 \
            --set train.batch_size=4 --set train.epochs=10 --set train.steps_per_epoch=20
Expected    The authors swept 1 to 5 levels without context and 5 to 10 with it (their repositories); the
            numbers are in none of the sources at hand. More context first, more levels second.
Images      1000 frames of critters, generated
"""

from study.spec import Constraint, Grid, Study
from usplit_core.presets import DATA_SETS, REDUCED

#: Levels of each variant. Those of a vanilla network halve a patch of 64 px; four of the deep one have context.
DEPTHS = {"vanilla": (1, 2, 3, 4, 5), "deep": (5, 6, 7, 8)}

STUDY = Study(
    name="latent_depth",
    question="How many latent levels does the hierarchy need, without and with lateral context?",
    base={**DATA_SETS["critters_n0"], **REDUCED},
    train={
        "model.variant": Grid("vanilla", "deep"),
        "model.depth": Grid(1, 2, 3, 4, 5, 6, 7, 8),
    },
    constraints=(
        Constraint(
            names=("model.variant", "model.depth"),
            allows=lambda variant, depth: depth in DEPTHS[variant],
            reason="each variant has its depths: deep needs levels above the four with context",
        ),
    ),
    replicates=3,
)
