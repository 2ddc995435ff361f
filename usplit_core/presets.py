"""The paper's runs as settings: data set x architecture x variant, each row only what differs.

Sources: docs/method.md, Data and Training; the released configurations of juglab/uSplit. The paper's
images are not shipped, so ``data.path`` is for the user to set where a row has none.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from usplit_core.config import Architecture, Variant
from usplit_core.errors import ConfigError, nearest
from usplit_core.settings import Setting

Settings = dict[str, Setting]

_PAVIA: Mapping[str, Setting] = MappingProxyType(
    {
        "data.split": "alternating",
        "data.border": "reflect",
        "data.axes": "NYXC",
    }
)

#: Data sets of the paper. Hagen et al. 2021 (gigadb 100888): one stack a channel. PaviaATN (zenodo
#: 8235843): one stack with 0 = nucleus, 2 = actin, 3 = tubulin. SinusoidalCritters: generated.
DATA_SETS: Mapping[str, Mapping[str, Setting]] = MappingProxyType({
    "hagen":         {"data.split": "frame",       "data.border": "reflect"},
    "pavia_act_tub": {**_PAVIA, "data.channels": (2, 3)},
    "pavia_act_nuc": {**_PAVIA, "data.channels": (2, 0)},
    "pavia_tub_nuc": {**_PAVIA, "data.channels": (0, 3)},
    "critters_n0":   {"data.split": "alternating", "data.border": "constant", "data.path": "synthetic:critters-n0"},
    "critters_n25":  {"data.split": "alternating", "data.border": "constant", "data.path": "synthetic:critters-n25"},
})  # fmt: skip

#: Epochs, plateau patience, early-stop patience.
_SCHEDULES: Mapping[str, tuple[int, int, int]] = MappingProxyType({
    "default":       (200,  15,  100),
    "bravenet":      (400,  30,  200),
    "critters_n0":   (4800, 180, 1200),
    "critters_n25":  (2400, 90,  300),
})  # fmt: skip

#: A schedule to compare by, for any data set: 25,000 steps instead of half a million, for an HVAE an hour on one GPU.
REDUCED: Mapping[str, Setting] = MappingProxyType({
    "train.epochs": 50,
    "train.steps_per_epoch": 500,
    "train.plateau_patience": 5,
    "train.early_stop_patience": 20,
    "train.precision": "bfloat16",
})  # fmt: skip


def paper(
    data_set: str,
    architecture: Architecture = "hvae",
    variant: Variant = "regular",
    *,
    schedule: Literal["paper", "reduced"] = "paper",
) -> Settings:
    """Return the settings of one of the paper's runs, as the base of a study.

    Parameters
    ----------
    data_set
        A key of `DATA_SETS`.
    architecture, variant
        The network.
    schedule
        As in the paper, on a GPU with float16; or reduced to about one GPU-hour.

    Raises
    ------
    ConfigError
        If there is no such data set.
    """
    if data_set not in DATA_SETS:
        raise ConfigError(f"data set {data_set!r} is none of the paper's; {nearest(data_set, DATA_SETS)}")
    network: Settings = {"model.architecture": architecture, "model.variant": variant}
    return {**DATA_SETS[data_set], **network, "train.batch_size": 32, **_schedule(data_set, architecture, schedule)}


def _schedule(data_set: str, architecture: str, schedule: str) -> Settings:
    if schedule == "reduced":
        return dict(REDUCED)
    row = _SCHEDULES.get(data_set) or _SCHEDULES.get(architecture) or _SCHEDULES["default"]
    epochs, plateau_patience, early_stop_patience = row
    return {
        "train.epochs": epochs,
        "train.plateau_patience": plateau_patience,
        "train.early_stop_patience": early_stop_patience,
        "train.precision": "float16",
    }
