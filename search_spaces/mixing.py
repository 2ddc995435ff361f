"""What does it cost to train for a range of mixtures, and how weak may a structure be?

Question    A network is good at the mixture that it was trained on. What does a range of mixtures in training
            cost at the equal mixture, and what is lost when one structure is weaker than the other?
Figures     factors, qualitative
Command     usplit run search_spaces/mixing.py
Trials      15 trainings (equal, 2 ranges, 2 uneven mixtures; 3 seeds), 15 evaluations
Cost        13 GPU-hours at 20 TFLOP/s. Small, on two cores, a minute a training:
            usplit run search_spaces/mixing.py --set "data.path=synthetic:critters-n0?frames=40" \
            --set model.filters=8 --set model.latent_channels=8 --set train.precision=float32 \
            --set train.batch_size=4 --set train.epochs=10 --set train.steps_per_epoch=20
Expected    Uneven mixtures are harder for the weak structure (the premise of scSplit, NeurIPS 2025); a
            range costs little at its centre. Each network is scored at the mixture of `data.mixing_weights`.
Images      1000 frames of critters, generated
"""

from study.spec import Grid, Only, Study
from usplit_core.presets import paper

STUDY = Study(
    name="mixing",
    question="What does training for a range of mixtures cost, and how weak may a structure be?",
    base=paper("critters_n0", schedule="reduced"),
    train={
        "data.mixing_weights": Grid(None, (0.3, 0.7), (0.1, 0.9)),
        "data.mixing_weight_range": Grid(None, (0.3, 0.7), (0.1, 0.9)),
    },
    # A mixture is fixed or drawn from a range, not both.
    conditions=(Only("data.mixing_weight_range", where={"data.mixing_weights": (None,)}),),
    replicates=3,
)
