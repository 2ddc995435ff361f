"""What sets one network of the paper apart from another, as rows: differences, never classes.

A row holds the defaults that ``model.architecture`` and ``model.variant`` bring along; whatever a
run states itself wins. Sources: docs/method.md, Networks.
"""

from collections.abc import Mapping
from types import MappingProxyType

#: (architecture, variant) -> defaults of the other fields of ``ModelConfig``.
DEFAULTS = MappingProxyType({
    ("hvae",     "vanilla"): {"lc_depth": 0, "depth": 4, "filters": 64},
    ("hvae",     "lean"):    {"lc_depth": 4, "depth": 4, "filters": 64},
    ("hvae",     "regular"): {"lc_depth": 4, "depth": 4, "filters": 64},
    ("hvae",     "deep"):    {"lc_depth": 4, "depth": 8, "filters": 64},
    ("hae",      "vanilla"): {"lc_depth": 0, "depth": 4, "filters": 64},
    ("hae",      "lean"):    {"lc_depth": 4, "depth": 4, "filters": 64},
    ("hae",      "regular"): {"lc_depth": 4, "depth": 4, "filters": 64},
    ("hae",      "deep"):    {"lc_depth": 4, "depth": 8, "filters": 64},
    ("unet",     "vanilla"): {"lc_depth": 0, "depth": 5, "filters": 64},
    ("unet",     "lean"):    {"lc_depth": 4, "depth": 4, "filters": 32},
    ("unet",     "regular"): {"lc_depth": 4, "depth": 4, "filters": 32},
    ("unet",     "deep"):    {"lc_depth": 4, "depth": 5, "filters": 32},
    ("bravenet", "vanilla"): {"lc_depth": 0, "depth": 4, "filters": 32},
    ("bravenet", "regular"): {"lc_depth": 1, "depth": 4, "filters": 32},
})  # fmt: skip

_KL = ("kl_weight", "kl_normalisation", "kl_estimate", "free_bits", "kl_annealing_epochs")
_KL_SETTINGS = tuple(f"objective.{name}" for name in _KL)
_OF_LADDERS = (*_KL_SETTINGS, "model.latent_channels", "model.log_variance", "model.min_log_variance")

#: Architecture -> settings that it does not know, by dotted name: they cannot change the result of a training.
WITHOUT_EFFECT = MappingProxyType({
    "hvae":     (),
    "hae":      _KL_SETTINGS,
    "unet":     (*_OF_LADDERS, "model.dropout"),
    "bravenet": _OF_LADDERS,
})  # fmt: skip


def defaults(architecture: str, variant: str) -> Mapping[str, int]:
    """Return the row of a network; empty where one of the words is no legal one, which its own field reports.

    Raises
    ------
    ValueError
        If both words are legal, but not together.
    """
    variants = [row_variant for row_architecture, row_variant in DEFAULTS if row_architecture == architecture]
    if variants and variant not in variants and any(variant == row_variant for _, row_variant in DEFAULTS):
        raise ValueError(f"variant = {variant!r}: {architecture} exists as {', '.join(variants)}")
    return DEFAULTS.get((architecture, variant), MappingProxyType({}))


def patch_multiple(architecture: str, variant: str, *, lc_depth: int, depth: int) -> int:
    """Return the number of pixels that every input side must be a multiple of."""
    if architecture == "bravenet":
        return 1 << (depth - 1)
    if variant in ("regular", "deep"):
        # A level with context halves the map and pads it back, so only the levels above it shrink it for good.
        return 1 << max(depth - lc_depth, 1 if lc_depth else 0)
    return 1 << depth


def check_levels(architecture: str, variant: str, *, lc_depth: int, depth: int) -> None:
    """Refuse a network that has no place for its lateral context.

    Raises
    ------
    ValueError
        With the value, the rule and the remedy.
    """
    if variant == "vanilla" and lc_depth:
        raise ValueError(
            f"lc_depth = {lc_depth}: the vanilla variant has no lateral context; "
            "set model.lc_depth to 0, or model.variant to lean, regular or deep"
        )
    if architecture == "bravenet" and lc_depth > 1:
        raise ValueError(f"lc_depth = {lc_depth}: BraveNet has one context input; set model.lc_depth to 0 or 1")
    if lc_depth > depth:
        raise ValueError(
            f"lc_depth = {lc_depth} is deeper than the network, which has model.depth = {depth} levels; "
            f"set model.lc_depth to at most {depth}, or model.depth to at least {lc_depth}"
        )
    if variant == "deep" and lc_depth == depth:
        raise ValueError(
            f"depth = {depth}: the deep variant has levels above its lc_depth = {lc_depth} levels with "
            "context; raise model.depth, or set model.variant to regular"
        )


def check_noise_model(architecture: str, log_variance: str, background_quantile: float) -> None:
    """Refuse a run that has no use for its noise model.

    Raises
    ------
    ValueError
        With the value, the rule and the remedy.
    """
    prefix = "objective.likelihood = 'noise_model':"
    if architecture in ("unet", "bravenet"):
        raise ValueError(
            f"{prefix} {architecture} minimises the squared error; set model.architecture to hvae or hae, "
            "or leave objective.likelihood and objective.noise_model_path out"
        )
    if log_variance != "none":
        raise ValueError(
            f"{prefix} it takes the place of the predicted log-variance, and model.log_variance = {log_variance!r}; "
            "set model.log_variance to none"
        )
    if background_quantile:
        raise ValueError(
            f"{prefix} it is measured in the intensities of the images, and data.background_quantile = "
            f"{background_quantile} shifts those of each frame; set data.background_quantile to 0"
        )
