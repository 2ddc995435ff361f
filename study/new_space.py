"""A first search space for a user's own images: the text of the file, fitted to what their headers say."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from usplit_core.config import DataConfig
from usplit_core.data.header import Header
from usplit_core.data.splits import FRAMES_FOR_SPLIT_BY_FRAME, check_size, split
from usplit_core.errors import DataError
from usplit_core.settings import Setting

#: What a new search space runs on until its author names images.
EXAMPLE_IMAGES = "synthetic:critters-n0?frames=40"

_LARGEST_PATCH_PX = 64
#: A network of four levels without context halves its patch four times.
_PATCH_MULTIPLE_PX = 16
#: Parts that are cut out of one frame must hold patches, so they are larger than those of many frames.
_REGION_FRACTION = 0.2

_TEMPLATE = '''"""Does lateral context pay on these images? (Write your own question here, in one line.)

Question    Does lateral context pay on these images, and how much padding do tiles need with it?
Figures     lc_depth, padding_curves, qualitative, learning_curves
Command     usplit run {name}.py
Trials      4 trainings (2 lc_depth x 2 seeds), 8 evaluations (2 paddings each)
Cost        usplit plan {name}.py --probe measures it on this machine
Expected    Write down what you expect before you look.
Images      {images}
"""

from study.spec import Grid, Study

STUDY = Study(
    name="{name}",
    question="Does lateral context pay on these images, and how much padding do tiles need with it?",
    # What holds in every run. All settings and their defaults: docs/settings.md
    base={{
        # A file, a folder of files, or one file for each structure channel: ("actin.tif", "tubulin.tif").
        "data.path": {path},
{axes}        # The structures to split, by index or name. In these images: {channels}.
        "data.channels": {chosen!r},
        # {why_split}
        "data.split": "{split}",
        "data.validation_fraction": {fraction},
        "data.test_fraction": {fraction},
        # vanilla, lean, regular or deep: how lateral context is used.
        "model.variant": "regular",
        "model.patch_px": {patch_px},
        # A small network, trained briefly, for a first look. Without these lines: the paper's.
        "model.filters": 16,
        "model.latent_channels": 16,
        "train.epochs": 20,
        "train.steps_per_epoch": 30,
        "train.batch_size": 8,
        "train.learning_rate": 3e-3,
        "train.plateau_patience": 5,
    }},
    # What needs a training for each level. Others to try, each without its line above:
    # "model.variant": Grid("lean", "regular"), "train.learning_rate": Grid(1e-3, 3e-3).
    train={{"model.lc_depth": Grid(0, 2)}},
    # What is scored from the same weights. Others to try: "tiling.mode": Grid("inner", "outer").
    evaluate={{"tiling.padding_px": Grid(0, {padding_px})}},
    # Seeds. Two show the spread, a statement takes three or more.
    replicates=2,
)
'''


class _Fit(NamedTuple):
    """What is chosen for images of one shape."""

    split: str
    why_split: str
    fraction: float
    patch_px: int


def render_space(name: str, path: str | tuple[str, ...], header: Header, *, axes: str | None = None) -> str:
    """Return the text of a search space on images that `header` describes.

    Raises
    ------
    DataError
        If the images are none that a network can be trained on: the value, the rule, the remedy.
    """
    names = header.channel_names
    if len(names) < 2:
        raise DataError(
            f"{path} has one channel: training needs each structure in a channel of its own; "
            "give one file for each structure (--images A --images B), or --axes if another axis counts the channels"
        )
    fit = _fit(header)
    frames, _, height, width = header.shape
    return _TEMPLATE.format(
        name=name,
        images=f"{_plain(path)}: {frames} {'frame' if frames == 1 else 'frames'} of {height} x {width} px",
        path=_literal(path),
        axes="" if axes is None else f'        "data.axes": {_literal(axes)},\n',
        channels=", ".join(f"{index} = {' '.join(channel.split())}" for index, channel in enumerate(names)),
        chosen=(0, 1),
        padding_px=fit.patch_px // 4,
        **fit._asdict(),
    )


def _fit(header: Header) -> _Fit:
    frames = header.shape[0]
    if frames >= FRAMES_FOR_SPLIT_BY_FRAME:
        rule, fraction = "frame", 0.1
        why = "The first frames are kept for the test: of another specimen than the last, if you can."
    else:
        rule, fraction = "region", _REGION_FRACTION
        why = "Few frames, so each is cut into three regions, along its longer axis."
    settings: dict[str, Setting] = {"split": rule, "validation_fraction": fraction, "test_fraction": fraction}
    data = DataConfig.model_validate({"path": "any", **settings})
    parts = split(np.broadcast_to(np.uint8(0), header.shape), data)
    smallest = min(min(part.shape[-2:]) for part in (parts.train, parts.validation, parts.test))
    patch_px = min(_LARGEST_PATCH_PX, smallest // _PATCH_MULTIPLE_PX * _PATCH_MULTIPLE_PX)
    check_size(parts, max(patch_px, _PATCH_MULTIPLE_PX))
    return _Fit(rule, why, fraction, patch_px)


def _literal(value: str | Sequence[str]) -> str:
    """Return a text, or several, as Python writes it, in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"({', '.join(map(_literal, value))})"


def _plain(path: str | Sequence[str]) -> str:
    """Return a path for the docstring, where a backslash or quotes would have a meaning."""
    text = path if isinstance(path, str) else ", ".join(path)
    return text.replace("\\", "/").replace('"', "'")
