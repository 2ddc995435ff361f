"""Does lateral context help to tell two kinds of nuclei apart, and does the tiling matter?

Question    CTIP2 and BRN2 label neurons that look alike and differ by the layer of the neocortex
            that they lie in. A patch alone does not show the layer; its lateral context does.
Figures     lc_depth, padding_curves, qualitative, learning_curves
Command     usplit run search_spaces/quickstart.py
Trials      4 trainings (2 lc_depth x 2 seeds), 16 evaluations (4 tilings each)
Cost        about five minutes on two cores
Expected    Two seeds of a small network do not decide the question; the study shows the way
            from images to figures in one sitting.
Images      neocortex-3Ch.tiff of the package ndev-sampledata (BSD-3-Clause)
"""

from study.spec import Grid, Study

STUDY = Study(
    name="quickstart",
    question="Does lateral context help to tell CTIP2 from BRN2 nuclei, and does the tiling matter?",
    base={
        "data.path": "package:ndev-sampledata/ndev_sampledata/samples/neocortex-3Ch.tiff",
        "data.channels": (0, 1),
        "data.split": "region",
        # The layers of the cortex follow each other along y: a cut along x leaves every layer in every part.
        "data.region_axis": "x",
        "data.validation_fraction": 0.2,
        "data.test_fraction": 0.2,
        "model.variant": "regular",
        "model.patch_px": 64,
        "model.filters": 12,
        "model.latent_channels": 12,
        "train.epochs": 14,
        "train.steps_per_epoch": 20,
        "train.batch_size": 8,
        "train.learning_rate": 3e-3,
        "train.plateau_patience": 5,
        "train.early_stop_patience": None,
    },
    train={"model.lc_depth": Grid(0, 2)},
    evaluate={"tiling.mode": Grid("inner", "outer"), "tiling.padding_px": Grid(8, 16)},
    replicates=2,
)
