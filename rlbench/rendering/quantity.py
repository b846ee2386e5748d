"""How numbers are written. A fraction is shown in percent, a difference of fractions in points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

MISSING = "–"


def known(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def scale(unit: str) -> float:
    """What a value of this unit is multiplied by before it is shown."""
    return 100.0 if unit == "fraction" else 1.0


def level_unit(unit: str) -> str:
    """The unit of a shown value."""
    return "%" if unit == "fraction" else unit


def difference_unit(unit: str) -> str:
    """The unit of a shown difference."""
    return "points" if unit == "fraction" else unit


def decimals(values: Sequence[Any], unit: str) -> int:
    """The decimals that suit all of these values at once."""
    if unit == "fraction":
        return 1
    largest = max((abs(value) for value in values if known(value)), default=0.0)
    for bound, places in ((1000.0, 0), (100.0, 1), (1.0, 2), (0.1, 3), (0.01, 4)):
        if largest >= bound:
            return places
    return 2 if largest == 0 else min(4 - math.floor(math.log10(largest)) - 2, 12)


def number(value: Any, unit: str, places: int | None = None, signed: bool = False) -> str:
    """One value, e.g. 93.1 for the fraction .931; a missing value is a dash, never zero."""
    if not known(value):
        return MISSING
    places = decimals([value], unit) if places is None else places
    text = f"{value * scale(unit):+,.{places}f}" if signed else f"{value * scale(unit):,.{places}f}"
    is_zero = not any(digit in text for digit in "123456789")
    return text.lstrip("+-") if is_zero else text


def interval(low: Any, high: Any, unit: str, places: int | None = None) -> str:
    """An interval, e.g. [25.0, 29.2], or an empty text where there is none."""
    if not (known(low) and known(high)):
        return ""
    places = decimals([low, high], unit) if places is None else places
    return f"[{number(low, unit, places)}, {number(high, unit, places)}]"


def with_interval(value: Any, low: Any, high: Any, unit: str, signed: bool = False) -> str:
    """A value and its interval with the same number of decimals."""
    places = decimals([value, low, high], unit)
    return f"{number(value, unit, places, signed)} {interval(low, high, unit, places)}".strip()


def probability(value: Any) -> str:
    """A p-value without its leading zero: .032, .0002, <.0001."""
    if not known(value):
        return MISSING
    if value < 0.0001:
        return "<.0001"
    text = f"{value:.4f}" if value < 0.001 else f"{value:.3f}"
    return text if text.startswith("1") else text.lstrip("0")


def p_equals(value: Any) -> str:
    """A p-value inside a sentence: `p = .0002`, `p < .0001`."""
    text = probability(value)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def percent(value: float) -> str:
    """A share or a tolerance: 95 %, 1 %, 0.5 %."""
    return f"{100 * value:.4g} %"


def count(value: Any) -> str:
    """A whole number with separators; very large ones with a power of ten."""
    if not known(value):
        return MISSING
    return f"{value:.3g}" if abs(value) >= 1e10 else f"{value:,.0f}"


def duration(seconds: Any) -> str:
    """Seconds as 0.42 s, 12.3 s, 4 min 05 s or 2 h 07 min."""
    if not known(seconds):
        return MISSING
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def memory(size: Any) -> str:
    """Bytes as KiB, MiB or GiB."""
    if not known(size):
        return MISSING
    for unit, bound in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= bound:
            return f"{size / bound:,.1f} {unit}"
    return f"{size:,.0f} B"
