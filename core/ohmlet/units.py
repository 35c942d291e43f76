"""Times as people write them, `"1 h"` is 3600.0 seconds, and the units of columns of measurements."""

from __future__ import annotations

import math
import re

from ohmlet.errors import ConfigError, shortened

__all__ = ["COLUMN_UNITS", "seconds", "spoken"]

UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "day": 86400.0,
    "week": 7 * 86400.0,
    "month": 30 * 86400.0,
    "year": 365 * 86400.0,
}
"""Unit -> seconds; a month is 30 days and a year 365, as the field's drift tables count them."""

COLUMN_UNITS = {
    "conductance": {"nS": 1e-3, "uS": 1.0, "µS": 1.0, "μS": 1.0, "mS": 1e3, "S": 1e6},
    "time": {"ns": 1e-9, "µs": 1e-6, "μs": 1e-6, **UNITS},
}
"""What a column of measurements holds -> unit in its name -> uS or seconds."""

SPELLINGS = {
    "us": ("us", "µs", "μs", "microsecond"),
    "ms": ("ms", "millisecond"),
    "s": ("", "s", "sec", "second"),
    "min": ("min", "m", "minute"),
    "h": ("h", "hr", "hour"),
    "day": ("day", "d"),
    "week": ("week", "w"),
    "month": ("month",),
    "year": ("year", "y", "yr"),
}
LENGTHS = {
    word + plural: UNITS[unit]
    for unit, words in SPELLINGS.items()
    for word in words
    for plural in ("", "s" if len(word) > 1 and word[-1] != "s" else "")
}


def seconds(time: float | str) -> float:
    """Return a time in seconds from a number of seconds or words such as "1 h", "30 min", "10 years".

    Raises ConfigError quoting the value when it is negative, not finite, or has an unknown unit.
    """
    hint = f"write seconds as a number, or a number and a unit ({', '.join(UNITS)}), such as '1 h'"
    if isinstance(time, str):
        match = re.fullmatch(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Zµμ]*)\s*", time)
        # Only words may be in capitals: "Ms" is no millisecond and "M" no minute.
        unit = "" if match is None else match[2] if len(match[2]) < 3 else match[2].lower()
        if match is None or unit not in LENGTHS:
            raise ConfigError(f"not a time: {shortened(time)}; {hint}")
        try:
            value = float(match[1]) * LENGTHS[unit]
        except ValueError:
            raise ConfigError(f"not a time: {shortened(time)}; {shortened(match[1])} is no number") from None
    elif isinstance(time, bool) or not isinstance(time, int | float):
        raise ConfigError(f"not a time: {shortened(time)}; {hint}")
    else:
        value = float(time) if abs(time) < 1e308 else math.inf
    if not math.isfinite(value) or value < 0:
        raise ConfigError(f"a time must be finite and not negative: {shortened(time)}")
    return abs(value)  # not -0.0


def spoken(time_s: float) -> str:
    """Return a time in its largest whole unit, such as "1 h" for 3600.0."""
    for unit, length in reversed(UNITS.items()):
        count = time_s / length
        if count >= 1 and count.is_integer():
            return f"{count:g} {unit}" + ("s" if unit in {"day", "week", "month", "year"} and count != 1 else "")
    return f"{time_s:g} s"
