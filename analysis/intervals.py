"""Numbers with their intervals as text: never so short that an interval reads as two zeros."""

import math

_MOST_DECIMALS = 6


def decimals(*values: float, least: int = 2) -> int:
    """Return how many decimals show the largest of `values` with two digits that count, `least` or more.

    One more where the smallest would else read as zero, and reads as something with it.
    """
    known = [abs(value) for value in values if math.isfinite(value) and value != 0]
    if not known:
        return least
    places = max(least, 1 - math.floor(math.log10(max(known))))
    hidden, shown = round(min(known), places) == 0, round(min(known), places + 1) != 0
    return min(places + (hidden and shown), _MOST_DECIMALS)


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
