"""One axis of a sweep: which values of an experiment it sets, and what it sets them to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from attrs import Attribute, evolve, field, frozen

from ohmlet.errors import ConfigError, shortened
from ohmlet.spec import boolean, number

__all__ = ["Axis"]

MOST = 1000
"""Values of an axis."""


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_bound(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not is_number(value):
        raise ValueError(f"'{attribute.name}' must be a finite number: {shortened(value)}")


@frozen(kw_only=True)
class Axis:
    """What is swept: the values at dotted paths, each of `values` or anything from `low` to `high`.

    With `divide` the paths are set to divide / value: a number of states in a window of width 2 is a step of 2 / states. With `scale` each
    path is set to what the file says there times the value: a variation of 0.5 is half of the one measured, whatever that is of each.
    """

    set: tuple[str, ...] = field(
        default=(), metadata={"doc": "dotted path, or a list of them, `*` for any letters of a name; the axis' name if left out"}
    )
    values: tuple[Any, ...] = field(default=(), metadata={"doc": "all values"})
    low: Any = field(
        default=None,
        validator=_check_bound,
        metadata={"doc": "the smallest value, instead of `values`; bounds without a decimal point draw whole numbers"},
    )
    high: Any = field(default=None, validator=_check_bound, metadata={"doc": "the largest value"})
    step: Any = field(default=None, validator=_check_bound, metadata={"doc": "from value to value, which makes a range a list"})
    log: bool = boolean(False, "draw between `low` and `high` evenly on a logarithmic scale")
    divide: float | None = number(None, "set this number divided by the value")
    scale: bool = boolean(False, "set what the file says times the value")

    def __attrs_post_init__(self) -> None:
        ranged = self.low is not None or self.high is not None
        if self.values and ranged:
            raise ValueError("'values' and a range exclude each other: leave 'values', or 'low' and 'high', out")
        if not self.values and not ranged:
            raise ValueError("an axis needs values, such as [1, 2, 3] or {low: 1, high: 100, log: true}: there are none")
        if ranged:
            self._check_range()
        elif self.log or self.step is not None:
            raise ValueError("'log' and 'step' have no effect on 'values': leave them out, or give 'low' and 'high'")
        if len({json.dumps(value, sort_keys=True, default=str) for value in self.values}) < len(self.values):
            raise ValueError(f"a value stands twice in {list(self.values)}")
        if self.divide is not None and self.scale:
            raise ValueError("'divide' and 'scale' exclude each other")
        if self.divide is not None or self.scale:
            for value in self.grid() or (self.low, self.high):
                if not is_number(value) or (self.divide is not None and value == 0):
                    raise ValueError(f"'{'scale' if self.scale else 'divide'}' needs numbers{' but 0' * (not self.scale)}, got {value!r}")

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            raise ValueError(f"a range needs both bounds: 'low' is {self.low}, 'high' is {self.high}")
        if self.low >= self.high:
            raise ValueError(f"'low' {self.low:g} must be less than 'high' {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"'low' must be > 0 on a logarithmic scale: {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError(f"'step' {self.step:g} has no effect with 'log': leave one of them out, or list the values")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"'step' must be > 0: {self.step:g}")
        if self.step is not None and (self.high - self.low) / self.step > MOST:
            raise ValueError(f"'step' {self.step:g} makes more than {MOST} values")

    @classmethod
    def prepare_plain(cls, value: Any) -> Any:
        """Return the mapping to read: a list stands for `values`."""
        if isinstance(value, list | tuple):
            value = {"values": value}
        if isinstance(value, Mapping):
            value = {name: held for name, held in value.items() if held is not None}
            if isinstance(value.get("set"), str):
                value["set"] = [value["set"]]
            if isinstance(value.get("values"), list | tuple) and not value["values"]:
                raise ValueError("an axis needs values, and the list is empty")
        return value

    def named(self, name: str) -> Axis:
        """Return the axis under its name in the file, which is the path where none is stated."""
        return evolve(self, set=self.set or (name,))

    @property
    def is_whole(self) -> bool:
        """Whether a range is one of whole numbers."""
        ends = [each for each in (self.low, self.high, self.step) if each is not None]
        return bool(ends) and all(isinstance(each, int) for each in ends)

    def grid(self) -> tuple[Any, ...]:
        """Return all values; none for a range without `step`."""
        if self.values or self.step is None or self.low is None or self.high is None:
            return self.values
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        # Twelve digits: 0.1 + 2 * 0.1 is 0.3 in a file.
        made = [float(f"{self.low + index * self.step:.12g}") for index in range(count)]
        return tuple(int(each) for each in made) if self.is_whole else tuple(made)

    def ends(self) -> tuple[Any, ...]:
        """Return the values to try the file with: all, or the bounds of a range."""
        if self.grid():
            return self.grid()
        return (self.low, self.high)

    def to_set(self, value: Any, held: Any, path: str) -> Any:
        """Return what a path is set to for a value of the axis, `held` being what the file says; raises ConfigError for no number."""
        if self.divide is not None:
            return self.divide / value
        if not self.scale:
            return value
        if not is_number(held):
            raise ConfigError(f"'scale' needs a number in the file, and '{path}' is {held!r}")
        return held * value
