"""Values as aihwkit's dataclasses hold them, written as plain data: enumerations `Class.MEMBER`, infinities as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ohmlet.errors import ConfigError

__all__ = ["class_of", "member", "real"]


def class_of(parameters: Mapping[str, Any]) -> str:
    """Return the class name of a nested dict; raises ConfigError when it states none."""
    name = parameters.get("__class__")
    if not isinstance(name, str):
        raise ConfigError(f"expected aihwkit parameters with '__class__', got the keys {', '.join(map(str, parameters))}")
    return name


def member(value: Any) -> str:
    """Return the member of an enumeration written `Class.MEMBER` (or MEMBER alone)."""
    if not isinstance(value, str):
        raise ConfigError(f"expected an enumeration member such as NoiseManagementType.ABS_MAX, got {value!r}")
    return value.rpartition(".")[2]


def real(value: Any) -> float:
    """Return a number; infinities may be the words "inf" and "-inf"."""
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in {"inf", "-inf"}):
        raise ConfigError(f"expected a number, got {value!r}")
    number = float(value)
    if math.isnan(number):
        raise ConfigError("expected a number, got nan")
    return number
