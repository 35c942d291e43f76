"""Times as people write them: `"1 h"` is 3600.0 seconds."""

from __future__ import annotations

import math
import re

from ohmlet.errors import ConfigError

__all__ = ["seconds", "spoken"]

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

SHORT = {"sec": "s", "second": "s", "minute": "min", "m": "min", "hour": "h", "hr": "h", "d": "day", "y": "year", "yr": "year", "w": "week"}


def seconds(time: float | str) -> float:
    """Return a time in seconds from a number of seconds or words such as "1 h", "30 min", "10 years".

    Raises ConfigError quoting the value when it is negative, not finite, or has an unknown unit.
    """
    if isinstance(time, str):
        match = re.fullmatch(r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Z]*)\s*", time)
        unit = match[2].lower() if match else ""
        unit = SHORT.get(unit.removesuffix("s") or "s", unit.removesuffix("s") or "s") if unit not in UNITS else unit
        if match is None or unit not in UNITS:
            raise ConfigError(f"not a time: {time!r}; write seconds as a number, or a number and a unit ({', '.join(UNITS)}), such as '1 h'")
        try:
            value = float(match[1]) * UNITS[unit]
        except ValueError:
            raise ConfigError(f"not a time: {time!r}; {match[1]!r} is no number") from None
    elif isinstance(time, bool) or not isinstance(time, int | float):
        raise ConfigError(f"not a time: {time!r}; write seconds as a number, or words such as '1 h'")
    else:
        value = float(time)
    if not math.isfinite(value) or value < 0:
        raise ConfigError(f"a time must be finite and not negative: {time!r}")
    return value


def spoken(time_s: float) -> str:
    """Return a time in its largest whole unit, such as "1 h" for 3600.0."""
    for unit, length in reversed(UNITS.items()):
        if time_s >= length and time_s % length == 0:
            count = time_s / length
            return f"{count:g} {unit}" + ("s" if unit in {"day", "week", "month", "year"} and count != 1 else "")
    return f"{time_s:g} s"
