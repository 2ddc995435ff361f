"""Refuses a tiling that a network cannot take, before anything is predicted (docs/method.md, Tiling)."""

from usplit_core.errors import ConfigError

#: Settings of a tiling whose every value fits every network.
UNCHECKED = {"samples", "precision"}


def check_tile(
    *,
    mode: str,
    padding_px: int,
    stride_px: int | None,
    border: str | None,
    remainder: str,
    patch_px: int,
    multiple: int,
) -> None:
    """Refuse a tiling that keeps nothing of a patch, or that no network or plan can take.

    Raises
    ------
    ConfigError
        With the value, the rule and the remedy.
    """
    kept_px = patch_px if mode == "outer" else patch_px - 2 * padding_px
    if kept_px <= 0:
        raise ConfigError(
            f"tiling.padding_px = {padding_px} leaves nothing of a {patch_px} px patch: "
            f"{mode} padding keeps patch_px - 2 padding_px; set it below {patch_px // 2}"
        )
    if mode == "outer" and (2 * padding_px) % multiple:
        raise ConfigError(
            f"tiling.padding_px = {padding_px}: outer padding grows the input to {patch_px + 2 * padding_px} px; "
            f"this network needs a multiple of {multiple} px; "
            f"use a padding_px that is a multiple of {max(multiple // 2, 1)}"
        )
    if mode == "sliding":
        _check_sliding(kept_px, stride_px, border, remainder)
    elif stride_px is not None:
        raise ConfigError(
            f"tiling.stride_px = {stride_px}: {mode} tiles do not overlap; leave it out, or set tiling.mode to sliding"
        )
    if remainder == "left_out" and border == "shift":
        raise ConfigError(
            "tiling.remainder = left_out: the original lets windows reach beyond the frame; "
            "set tiling.border to reflect or constant, or leave it out"
        )


def _check_sliding(kept_px: int, stride_px: int | None, border: str | None, remainder: str) -> None:
    if stride_px is not None and kept_px % stride_px:
        raise ConfigError(
            f"tiling.stride_px = {stride_px}: a tile keeps {kept_px} px, and each pixel is predicted equally often "
            f"only where the stride divides that; use a divisor of {kept_px}, or leave it out"
        )
    if border == "shift" or remainder == "left_out":
        raise ConfigError(
            f"tiling.border = {border}, tiling.remainder = {remainder}: sliding tiles cover every pixel equally often, "
            "the borders included; set tiling.border to reflect or constant and leave tiling.remainder out"
        )
