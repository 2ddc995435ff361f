"""How should a frame be cut into tiles, how much padding do they need, and how many samples?

Question    Inner padding predicts the trained size and keeps its centre; outer padding predicts more than
            the trained size. Which gives the better frame, with and without lateral context?
Figures     padding_curves, seams, sample_count, calibration, qualitative
Command     usplit run search_spaces/tiling.py
Trials      6 trainings (2 variants x 3 seeds), 72 evaluations (12 each: inner 0, 16, 24, 28 px; outer 16,
            32, 48, 64 px; sliding 16 px; and 2, 5, 10 posterior samples at inner 16 px)
Cost        3 GPU-hours at 20 TFLOP/s; evaluations come on top. Small, on two cores, some minutes a training:
            usplit run search_spaces/tiling.py --set "data.path=synthetic:critters-n0?frames=40" \
            --set model.filters=8 --set model.latent_channels=8 --set train.precision=float32 \
            --set train.batch_size=4 --set train.epochs=10 --set train.steps_per_epoch=20
Expected    Inner padding gains until it saturates; outer padding loses with larger inputs (project page);
            ten samples instead of one gain 0.01 to 0.02 dB (the authors' notebooks, Hagen et al. data).
Images      1000 frames of critters, generated
"""

from study.spec import Constraint, Grid, Study
from usplit_core.presets import DATA_SETS, REDUCED

#: The paper's paddings (px), and one for sliding tiles.
PADDINGS = {"inner": (0, 16, 24, 28), "outer": (16, 32, 48, 64), "sliding": (16,)}

STUDY = Study(
    name="tiling",
    question="Which tiling gives the better frame: inner, outer or sliding, and with how much padding?",
    base={**DATA_SETS["critters_n0"], **REDUCED},
    train={"model.variant": Grid("regular", "vanilla")},
    evaluate={
        "tiling.mode": Grid("inner", "outer", "sliding"),
        "tiling.padding_px": Grid(0, 16, 24, 28, 32, 48, 64),
        "tiling.samples": Grid(1, 2, 5, 10),
    },
    constraints=(
        Constraint(
            names=("tiling.mode", "tiling.padding_px"),
            allows=lambda mode, padding: padding in PADDINGS[mode],
            reason="each mode has its paddings: inner padding keeps less of a patch, outer padding adds to it",
        ),
        Constraint(
            names=("model.patch_px", "tiling.mode", "tiling.padding_px"),
            allows=lambda patch, mode, padding: mode == "outer" or 2 * padding < patch,
            reason="inner padding must leave something of the patch",
        ),
        Constraint(
            names=("tiling.samples", "tiling.mode", "tiling.padding_px"),
            allows=lambda samples, mode, padding: samples == 1 or (mode, padding) == ("inner", 16),
            reason="samples are counted at one tiling",
        ),
    ),
    replicates=3,
)
