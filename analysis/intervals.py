"""Numbers with their intervals as text: never so short that an interval reads as two zeros."""

import math

_MOST_DECIMALS = 6


def decimals(*values: float, least: int = 2) -> int:
    """Return how many decimals show the largest of `values` with two digits that count, `least` or more."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0:
        return least
    return min(max(least, 1 - math.floor(math.log10(largest))), _MOST_DECIMALS)


def format_interval(
    value: float, interval: tuple[float, float] | None, *, signed: bool = False, unit: str = "", least: int = 2
) -> str:
    """Return a number with its unit and its interval, such as ``+1.75 dB (+1.70 to +1.80)``."""
    places, sign = decimals(value, *(interval or ()), least=least), "+" if signed else ""
    text = f"{value:{sign}.{places}f} {unit}".strip()
    return text if interval is None else f"{text} ({interval[0]:{sign}.{places}f} to {interval[1]:{sign}.{places}f})"
