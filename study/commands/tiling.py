"""The tiling that the options of a command ask for."""

from pathlib import Path
from typing import Any

from usplit_core.config import TilingConfig
from usplit_core.errors import ConfigError, nearest
from usplit_core.settings import SETTINGS, Setting, parse_setting

_TILING = tuple(name for name in SETTINGS if name.startswith("tiling."))


def tiling_from(
    model: Path, tiling: str, padding_px: int | None, samples: int, settings: dict[str, Setting]
) -> TilingConfig:
    """Return the tiling of ``--tiling``, ``--padding`` and ``--samples``, with further settings by dotted name.

    Raises
    ------
    ConfigError
        If a value is none of its setting.
    CheckpointError
        If no padding is given, and the model cannot be read, whose patches would say it.
    """
    if padding_px is None:
        padding_px = _padding_of(model)
    values: dict[str, Any] = {
        "tiling.mode": parse_setting("tiling.mode", tiling),
        "tiling.padding_px": parse_setting("tiling.padding_px", str(padding_px)),
        "tiling.samples": parse_setting("tiling.samples", str(samples)),
        **{name: value for name, value in settings.items() if name in _TILING},
    }
    return TilingConfig.model_validate({name.removeprefix("tiling."): value for name, value in values.items()})


def _padding_of(model: Path) -> int:
    """Return the padding where none is asked for: a quarter of the patches of the model, and the default at most."""
    from usplit_core.checkpoint import read_model

    return min(TilingConfig().padding_px, read_model(model).run.model.patch_px // 4)


def parse_settings(texts: list[str], also: tuple[str, ...] = ()) -> dict[str, Setting]:
    """Return the values of ``--set NAME=VALUE`` options: settings of the tiling, and those that `also` names.

    Raises
    ------
    UserError
        If one is no such setting, or its value none of it.
    """
    legal = (*_TILING, *also)
    values = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError(f"--set {text}: write NAME=VALUE, such as --set tiling.border=shift")
        if name not in legal:
            raise ConfigError(f"--set {text}: a trained network can only be told how to tile; {nearest(name, legal)}")
        values[name] = parse_setting(name, value)
    return values
