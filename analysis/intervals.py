"""Numbers with their intervals as text: never so short that an interval reads as two zeros."""

import math

_MOST_DECIMALS = 6


def decimals(*values: float, least: int = 2) -> int:
    """Return how many decimals show the largest of `values` with two digits that count, and the smallest with one.

    Never fewer than `least`, nor more than two beyond what the largest asks for.
    """
    known = [abs(value) for value in values if math.isfinite(value) and value != 0]
    if not known:
        return least
    wanted = max(least, 1 - math.floor(math.log10(max(known))))
    return min(max(wanted, min(-math.floor(math.log10(min(known))), wanted + 2)), _MOST_DECIMALS)


def format_interval(
    value: float, interval: tuple[float, float] | None, *, signed: bool = False, unit: str = "", least: int = 2
) -> str:
    """Return a number with its unit and its interval, such as ``+1.75 dB (+1.70 to +1.80)``."""
    places = decimals(value, *(interval or ()), least=least)
    text = f"{format_number(value, places, signed=signed)} {unit}".strip()
    if interval is None:
        return text
    low, high = (format_number(edge, places, signed=signed) for edge in interval)
    return f"{text} ({low} to {high})"


def format_number(value: float, places: int, *, signed: bool = False) -> str:
    """Return a number with so many decimals; a zero has no sign."""
    rounded = round(value, places) + 0.0
    return f"{rounded:+.{places}f}" if signed and rounded else f"{rounded:.{places}f}"
