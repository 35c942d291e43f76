"""What every plugin's settings have in common: a frozen attrs class that is its config, its documentation and its pure methods."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import Attribute, field, fields, frozen

__all__ = ["Spec", "boolean", "describe", "integer", "number", "one_of"]


@frozen(kw_only=True)
class Spec(ABC):
    """Parameters plus behaviour of one plugin; tensors live only in the modules that a tile builds.

    Subclass one of `ohmlet.interfaces`, decorate with `attrs.frozen(kw_only=True)`, give each parameter through
    `number`, `integer`, `boolean` or `one_of` (unit and bounds beside the value), and register the class as an entry point.
    """

    kind: ClassVar[str] = ""

    preset: str | None = field(default=None, eq=False, repr=False, metadata={"doc": "the preset these values came from"})

    def equations(self) -> tuple[str, ...]:
        """Return the model as equations with its values and units, one per line, for `ohmlet explain`."""
        return ()


def number(
    default: float | None,
    doc: str,
    *,
    unit: str = "1",
    gt: float = -math.inf,
    ge: float = -math.inf,
    lt: float = math.inf,
    le: float = math.inf,
    infinite: bool = False,
) -> Any:
    """Return an attrs field for a number with its unit and bounds; a default of None makes it optional.

    The validator raises ValueError quoting the value when it is not a number, NaN, infinite (unless `infinite`) or out of bounds.
    """

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and default is None:
            return
        name = attribute.name
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"'{name}' must be a number [{unit}]: {value!r}")
        if math.isnan(value) or (math.isinf(value) and not infinite):
            raise ValueError(f"'{name}' must be finite: {value!r}")
        for holds, words in ((value > gt, f"> {gt:g}"), (value >= ge, f">= {ge:g}"), (value < lt, f"< {lt:g}"), (value <= le, f"<= {le:g}")):
            if not (holds or (infinite and math.isinf(value) and "inf" in words)):
                raise ValueError(f"'{name}' must be {words}: {value!r}")

    return field(default=default, validator=check, metadata={"unit": unit, "doc": doc})


def integer(default: int | None, doc: str, *, unit: str = "1", ge: int | None = None, le: int | None = None) -> Any:
    """Return an attrs field for a whole number with bounds; a default of None makes it optional."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and default is None:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"'{attribute.name}' must be a whole number: {value!r}")
        if ge is not None and value < ge:
            raise ValueError(f"'{attribute.name}' must be >= {ge}: {value!r}")
        if le is not None and value > le:
            raise ValueError(f"'{attribute.name}' must be <= {le}: {value!r}")

    return field(default=default, validator=check, metadata={"unit": unit, "doc": doc})


def boolean(default: bool, doc: str) -> Any:
    """Return an attrs field for a switch."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, bool):
            raise ValueError(f"'{attribute.name}' must be true or false: {value!r}")

    return field(default=default, validator=check, metadata={"doc": doc})


def one_of(default: str, choices: tuple[str, ...], doc: str) -> Any:
    """Return an attrs field for one of a few words."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value not in choices:
            raise ValueError(f"'{attribute.name}' must be one of {', '.join(choices)}: {value!r}")

    return field(default=default, validator=check, metadata={"doc": doc, "choices": choices})


def describe(spec: Any, shown: Callable[[Any], bool] = lambda value: True) -> list[tuple[str, Any, str, str]]:
    """Return (name, value, unit, doc) of each field of an attrs object, `preset` left out, for tables and `explain`."""
    rows = []
    for attribute in fields(type(spec)):
        value = getattr(spec, attribute.name)
        if attribute.name != "preset" and shown(value):
            rows.append((attribute.name, value, attribute.metadata.get("unit", ""), attribute.metadata.get("doc", "")))
    return rows
