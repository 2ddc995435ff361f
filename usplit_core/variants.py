"""What sets one network of the paper apart from another, as rows: differences, never classes.

A row holds the defaults that ``model.architecture`` and ``model.variant`` bring along; whatever a
run states itself wins. Sources: docs/method.md, Networks.
"""

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
