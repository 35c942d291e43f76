"""A device's settings as coordinates of a search: which there are, their bounds, and the spec for given values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from attrs import Attribute, evolve, fields, frozen
from numpy.typing import NDArray

from ohmlet.errors import ConfigError
from ohmlet.registry import did_you_mean
from ohmlet.spec import Spec

__all__ = ["Coordinate", "coordinate", "numeric_settings", "setting", "with_settings"]

S = TypeVar("S", bound=Spec)
Array = NDArray[np.float64]

SMALLEST, LARGEST = 1e-12, 1e12
"""How far a setting with a logarithmic coordinate may go unless it is bounded."""

INSIDE = 1e-5
"""How far inside a bound that is no value itself a setting stays, relative: more than what is lost when it is written in six digits."""

PATH = re.compile(r"(\w+)(?:\[(\d+)\])?")


def numeric_settings(spec: Spec) -> tuple[str, ...]:
    """Return the settings that are numbers, each node of a table by itself, such as "piecewise_up[3]"."""
    found: list[str] = []
    for attribute in fields(type(spec)):
        value = getattr(spec, attribute.name)
        if isinstance(value, float):
            found.append(attribute.name)
        elif isinstance(value, tuple) and value and all(isinstance(each, float) for each in value):
            found += [f"{attribute.name}[{place}]" for place in range(len(value))]
    return tuple(found)


def _parts(path: str) -> tuple[str, int | None]:
    match = PATH.fullmatch(path)
    if match is None:
        raise ConfigError(f"no setting is called {path!r}")
    return match[1], None if match[2] is None else int(match[2])


def setting(spec: Spec, path: str) -> float:
    """Return the value of a setting."""
    name, place = _parts(path)
    value = getattr(spec, name)
    return float(value if place is None else value[place])


def with_settings(spec: S, values: Mapping[str, float]) -> S:
    """Return the spec with these settings; raises ConfigError or ValueError where it refuses them."""
    changes: dict[str, Any] = {}
    for path, value in values.items():
        name, place = _parts(path)
        if place is None:
            changes[name] = float(value)
        else:
            nodes = list(changes.get(name, getattr(spec, name)))
            nodes[place] = float(value)
            changes[name] = tuple(nodes)
    return evolve(spec, **changes)


@frozen
class Coordinate:
    """One setting of a search: value = sign exp(t) where the setting keeps its sign, value = t elsewhere; t within a box."""

    path: str
    sign: int
    """+1 or -1 for a logarithmic coordinate, 0 for a plain one."""
    low: float
    high: float
    scale: float
    """How much of t counts as a large change."""

    def value(self, t: float) -> float:
        """Return the setting at a coordinate."""
        return self.sign * math.exp(t) if self.sign else t

    def at(self, value: float) -> float:
        """Return the coordinate of a setting, within the box."""
        t = math.log(max(self.sign * value, SMALLEST)) if self.sign else value
        return min(max(t, self.low), self.high)

    def slope(self, t: float) -> float:
        """Return the derivative of the setting."""
        return self.value(t) if self.sign else 1.0


def _attribute(spec: Spec, name: str) -> Attribute[Any]:
    return next(each for each in fields(type(spec)) if each.name == name)


def coordinate(spec: Spec, path: str, start: float, limits: tuple[float, float] | None = None) -> Coordinate:
    """Return the coordinate of a setting that starts at `start`, within the bounds that the spec states, and within `limits`."""
    bounds: Mapping[str, float] = _attribute(spec, _parts(path)[0]).metadata.get("bounds", {})
    low = max([bounds[sign] + INSIDE * abs(bounds[sign]) * (sign == ">") for sign in (">", ">=") if sign in bounds], default=-math.inf)
    high = min([bounds[sign] - INSIDE * abs(bounds[sign]) * (sign == "<") for sign in ("<", "<=") if sign in bounds], default=math.inf)
    sign = 0
    if start > 0 and low >= 0:
        sign = 1
    elif start < 0 and high <= 0:
        sign = -1
    if limits is not None:
        if not limits[0] < limits[1]:
            raise ConfigError(f"{path}: the limits {limits[0]:g} and {limits[1]:g} leave no room")
        low, high = max(low, limits[0]), min(high, limits[1])
        sign = sign if sign * low >= 0 and sign * high >= 0 else 0
    if sign:
        ends = sorted((sign * low, sign * high))
        inner = (math.log(max(ends[0], SMALLEST)), math.log(min(max(ends[1], SMALLEST), LARGEST)))
        return Coordinate(path, sign, *inner, 1.0)
    return Coordinate(path, 0, low, high, max(abs(start), 0.1))


def known_settings(spec: Spec, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the settings that are asked for, a table's name standing for all its nodes; raises ConfigError for others."""
    known, out = numeric_settings(spec), list[str]()
    for name in asked:
        found = [path for path in known if path == name or path.partition("[")[0] == name]
        if not found:
            raise ConfigError(f"{type(spec).__name__} has no number called {name!r} to fit; {did_you_mean(name, known)}")
        out += [path for path in found if path not in out]
    return tuple(out)
