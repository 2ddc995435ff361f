"""How much does each further level of lateral context gain, and does the decoder need it too?

Question    A level of lateral context shows twice the field of view at half the resolution. How many
            levels pay, in the encoder only (lean) and in the decoder too (regular)?
Figures     lc_depth, kl_levels, learning_curves, qualitative
Command     usplit run search_spaces/lc_depth.py
Trials      27 trainings (without context, and 4 lc_depth x 2 variants; 3 seeds), 27 evaluations
Cost        11 GPU-hours at 20 TFLOP/s. Small, on two cores, a minute a training:
            usplit run search_spaces/lc_depth.py --set "data.path=synthetic:critters-n0?frames=40" \
            --set model.filters=8 --set model.latent_channels=8 --set train.precision=float32 \
            --set train.batch_size=4 --set train.epochs=10 --set train.steps_per_epoch=20
Expected    Each level gains, the outer ones less: the further from a pixel, the lower the resolution
            that suffices (the authors' project page, ashesh-0.github.io/uSplit).
Images      1000 frames of critters, generated: both halves of a critter tell its channel, a patch shows one
"""

from study.spec import Grid, Only, Study
from usplit_core.presets import DATA_SETS, REDUCED

STUDY = Study(
    name="lc_depth",
    question="How much does each further level of lateral context gain, in the encoder and in the decoder?",
    base={**DATA_SETS["critters_n0"], **REDUCED},
    train={"model.lc_depth": Grid(0, 1, 2, 3, 4), "model.variant": Grid("regular", "lean")},
    # Without context, lean and regular are the same network: it is trained once.
    conditions=(Only("model.variant", where={"model.lc_depth": (1, 2, 3, 4)}),),
    replicates=3,
)
