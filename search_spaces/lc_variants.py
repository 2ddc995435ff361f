"""Which way of using lateral context is best: lean, regular or deep?

Question    How much do the three variants with lateral context gain over the vanilla network?
Figures     lc_gain, factors, memory, pareto, qualitative
Command     usplit run search_spaces/lc_variants.py
Trials      20 trainings (4 variants x 5 seeds), 20 evaluations
Cost        12 GPU-hours at 20 TFLOP/s. Small, on two cores, a minute a training:
            usplit run search_spaces/lc_variants.py --set "data.path=synthetic:critters-n0?frames=40" \
            --set model.filters=8 --set model.latent_channels=8 --set train.precision=float32 \
            --set train.batch_size=4 --set train.epochs=10 --set train.steps_per_epoch=20
Expected    vanilla < lean < deep. PSNR of the crop of actin / mitochondria on the authors' project page
            (ashesh-0.github.io/uSplit): 23.8 / 28.4, 24.4 / 28.8, 25.2 / 30.1 dB.
Images      1000 frames of critters, generated
"""

from study.spec import Grid, Study
from usplit_core.presets import DATA_SETS, REDUCED

STUDY = Study(
    name="lc_variants",
    question="How much do lean, regular and deep lateral context gain over the vanilla network?",
    base={**DATA_SETS["critters_n0"], **REDUCED},
    train={"model.variant": Grid("vanilla", "lean", "regular", "deep")},
    replicates=5,
)
