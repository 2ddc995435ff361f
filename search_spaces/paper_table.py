"""The paper's table: every data set x architecture x variant, trained alike.

Question    What does lateral context gain over the best network without it, on each task of the paper?
Figures     lc_gain, factors, memory, pareto, qualitative
Command     usplit run search_spaces/paper_table.py
Trials      198 trainings (6 data sets x 11 networks x 3 seeds), 396 evaluations (inner 16 and 24 px)
Cost        201 GPU-hours at 20 TFLOP/s. The generated data sets alone: 66 trainings,
            usplit run search_spaces/paper_table.py --set data.path=synthetic:critters-n0,synthetic:critters-n25
Expected    2.25 dB over the best baseline on average (abstract, ICCV 2023). Printed in the authors' notebooks,
            after 20 times as many steps: deep, tubulin and nucleus 32.5 dB; lean, actin and mitochondria 32.7 dB.
Images      Critters are generated. Hagen et al. 2021 (gigadb 100888) and PaviaATN (zenodo 8235843) are yours
            to fetch: put the files named below where you run this, or name your places in a copy of this file.
"""

from study.spec import Constraint, Grid, Study
from usplit_core.presets import REDUCED

HAGEN = ("actin-60x-noise2-highsnr.tif", "mito-60x-noise2-highsnr.tif")
PAVIA = "OptiMEM100x014.tif"  # 0 = nucleus, 2 = actin, 3 = tubulin

#: The rows of `usplit_core.presets.DATA_SETS`: path, channels, axes, split, border.
DATA_SETS = (
    ("synthetic:critters-n0",  (0, 1), None,   "alternating", "constant"),
    ("synthetic:critters-n25", (0, 1), None,   "alternating", "constant"),
    (HAGEN,                    (0, 1), None,   "frame",       "reflect"),
    (PAVIA,                    (2, 3), "NYXC", "alternating", "reflect"),
    (PAVIA,                    (2, 0), "NYXC", "alternating", "reflect"),
    (PAVIA,                    (0, 3), "NYXC", "alternating", "reflect"),
)  # fmt: skip

#: The original's U-Net with context, whose last level has none, is called deep here.
NETWORKS = {
    "hvae": ("vanilla", "lean", "regular", "deep"),
    "hae": ("vanilla", "lean", "regular", "deep"),
    "unet": ("vanilla", "deep"),
    "bravenet": ("regular",),
}

STUDY = Study(
    name="paper_table",
    question="What does lateral context gain over the best network without it, on each task of the paper?",
    base=REDUCED,
    train={
        "data.path": Grid("synthetic:critters-n0", "synthetic:critters-n25", HAGEN, PAVIA),
        "data.channels": Grid((0, 1), (2, 3), (2, 0), (0, 3)),
        "data.axes": Grid(None, "NYXC"),
        "data.split": Grid("alternating", "frame"),
        "data.border": Grid("constant", "reflect"),
        "model.architecture": Grid("hvae", "hae", "unet", "bravenet"),
        "model.variant": Grid("vanilla", "lean", "regular", "deep"),
    },
    evaluate={"tiling.padding_px": Grid(16, 24)},
    constraints=(
        Constraint(
            names=("data.path", "data.channels", "data.axes", "data.split", "data.border"),
            allows=lambda *data_set: data_set in DATA_SETS,
            reason="each data set has its own channels, axes, split and border",
        ),
        Constraint(
            names=("model.architecture", "model.variant"),
            allows=lambda architecture, variant: variant in NETWORKS[architecture],
            reason="the paper's networks",
        ),
    ),
    replicates=3,
)
