"""Does a larger training patch do what lateral context does, and what does it take?

Question    A vanilla network sees its patch and nothing else. How large must the patch be to reach a
            64 px patch with lateral context, in quality and in memory?
Figures     patch_size, memory, pareto, learning_curves
Command     usplit run search_spaces/patch_size.py
Trials      12 trainings (vanilla at 3 patch sizes, regular at 64 px; 3 seeds), 12 evaluations
Cost        6 GPU-hours at 20 TFLOP/s, 12 GB of GPU memory. Small, on two cores, some minutes a training:
            usplit run search_spaces/patch_size.py --set "data.path=synthetic:critters-n0?frames=40" \
            --set model.filters=8 --set model.latent_channels=8 --set train.precision=float32 \
            --set train.batch_size=4 --set train.epochs=10 --set train.steps_per_epoch=20
Expected    Larger patches are better, until memory ends; lateral context gets there with 64 px and
            considerably less memory (abstract of the paper, arXiv 2211.12872).
Images      1000 frames of critters of 256 px, generated
"""

from study.spec import Grid, Only, Study
from usplit_core.presets import DATA_SETS, REDUCED

STUDY = Study(
    name="patch_size",
    question="Does a larger training patch do what lateral context does, and what does it take?",
    # One batch size for all, such that the largest patch fits a common GPU.
    base={**DATA_SETS["critters_n0"], **REDUCED, "train.batch_size": 16},
    train={"model.variant": Grid("vanilla", "regular"), "model.patch_px": Grid(64, 128, 256)},
    # Regular-LC at 64 px is the line to compare with.
    conditions=(Only("model.patch_px", where={"model.variant": ("vanilla",)}),),
    replicates=3,
)
