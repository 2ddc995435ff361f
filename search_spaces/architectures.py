"""Does lateral context help every architecture, or the hierarchical VAE only?

Question    What does lateral context gain in the HVAE, its deterministic twin (HAE), the U-Net and BraveNet?
Figures     lc_gain, factors, factor_importance, memory, qualitative
Command     usplit run search_spaces/architectures.py
Trials      24 trainings (4 architectures x 2 variants x 3 seeds), 24 evaluations
Cost        14 GPU-hours at 20 TFLOP/s. Small, on two cores, a minute a training:
            usplit run search_spaces/architectures.py --set "data.path=synthetic:critters-n0?frames=40" \
            --set model.filters=8 --set model.latent_channels=8 --set train.precision=float32 \
            --set train.batch_size=4 --set train.epochs=10 --set train.steps_per_epoch=20
Expected    Context gains in each of them; over its tasks the paper finds 2.25 dB over the best
            baseline (abstract, ICCV 2023).
Images      1000 frames of critters, generated
"""

from study.spec import Grid, Study
from usplit_core.presets import DATA_SETS, REDUCED

STUDY = Study(
    name="architectures",
    question="What does lateral context gain in each architecture?",
    base={**DATA_SETS["critters_n0"], **REDUCED},
    # Regular is the variant with context that all four architectures have.
    train={
        "model.architecture": Grid("hvae", "hae", "unet", "bravenet"),
        "model.variant": Grid("vanilla", "regular"),
    },
    replicates=3,
)
