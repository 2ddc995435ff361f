"""Studies for the tests of a study's words."""

from typing import Any

from study.spec import AtMost, Choice, Constraint, IntRange, LogUniform, Only, Random, Study, Uniform

SMALL = {"data.path": "cells.tif", "model.filters": 4, "model.latent_channels": 4}

CONDITIONAL: dict[str, Any] = {
    "model.lc_depth": IntRange(0, 4),
    "model.depth": IntRange(2, 6),
    "model.architecture": Choice("hvae", "hae", "unet"),
    "model.variant": Choice("lean", "regular"),
    "train.learning_rate": LogUniform(1e-5, 1e-2),
    "objective.free_bits": Uniform(0.0, 2.0),
    "model.log_variance": Choice("pixelwise", "none"),
    "model.patch_px": Choice(32, 64, 128),
}
RULES: dict[str, Any] = {
    "conditions": (
        AtMost("model.lc_depth", "model.depth", minus=1),
        Only("objective.free_bits", where={"model.architecture": "hvae"}),
        Only("model.log_variance", where={"model.architecture": ("hvae", "hae")}),
    ),
    "constraints": (
        Constraint(
            names=("model.patch_px", "model.depth"),
            allows=lambda patch, depth: patch % 2**depth == 0,
            reason="a patch is halved at every level",
        ),
    ),
}


def make_study(**changes: Any) -> Study:
    """Return a study that crosses two factors, with some of its fields changed."""
    fields: dict[str, Any] = {"name": "depths", "question": "How deep?", "base": SMALL}
    return Study(**fields | changes)


def conditional_study(**changes: Any) -> Study:
    """Return a study whose factors depend on one another."""
    fields: dict[str, Any] = {
        "base": {**SMALL, "tiling.padding_px": 8},
        "train": CONDITIONAL,
        "design": Random(trials=50),
        "objective": "validation/psnr_db",
    }
    return make_study(**fields | RULES | changes)
