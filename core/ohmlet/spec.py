"""What every plugin's settings have in common: a frozen attrs class that is its config, its documentation and its pure methods."""

from __future__ import annotations

import math
import operator
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from attrs import Attribute, field, fields, frozen

from ohmlet.errors import shortened

__all__ = ["Spec", "boolean", "describe", "integer", "number", "numbers", "one_of", "table"]

HOLDS: dict[str, Callable[[float, float], bool]] = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@frozen(kw_only=True)
class Spec(ABC):  # noqa: B024 - the interfaces add the abstract methods
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
    bounds = {sign: bound for sign, bound in ((">", gt), (">=", ge), ("<", lt), ("<=", le)) if not math.isinf(bound)}

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and default is None:
            return
        name = attribute.name
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"'{name}' must be a number [{unit}]: {shortened(value)}")
        if isinstance(value, int) or math.isnan(value) or (math.isinf(value) and not infinite):
            raise ValueError(f"'{name}' must be finite: {shortened(value)}")
        _within(bounds, name, value)

    metadata = {"unit": unit, "doc": doc, "bounds": bounds, "infinite": infinite}
    return field(default=default, converter=_plain_float, validator=check, metadata=metadata)


def _plain_float(value: Any) -> Any:
    """Return a whole number or a float of NumPy as Python's float, so that equal settings are written alike."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    except OverflowError:
        return value


def _within(bounds: Mapping[str, float], name: str, value: float) -> None:
    for sign, bound in bounds.items():
        if not HOLDS[sign](value, bound):
            raise ValueError(f"'{name}' must be {sign} {bound if isinstance(bound, int) else format(bound, 'g')}: {shortened(value)}")


def integer(default: int | None, doc: str, *, unit: str = "1", ge: int = -(2**63), le: int = 2**63 - 1) -> Any:
    """Return an attrs field for a whole number of 64 bits with bounds; a default of None makes it optional."""
    bounds = {">=": ge, "<=": le}

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and default is None:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"'{attribute.name}' must be a whole number: {shortened(value)}")
        _within(bounds, attribute.name, value)

    return field(default=default, validator=check, metadata={"unit": unit, "doc": doc, "bounds": bounds})


def numbers(
    default: Sequence[float] | None, doc: str, *, unit: str = "1", gt: float = -math.inf, ge: float = -math.inf, shortest: int = 1
) -> Any:
    """Return an attrs field for a tuple of at least `shortest` finite numbers with their unit and bounds; None makes it optional.

    Lists become tuples.
    """
    bounds = {sign: bound for sign, bound in ((">", gt), (">=", ge)) if not math.isinf(bound)}

    def plain(value: Any) -> Any:
        return tuple(map(_plain_float, value)) if isinstance(value, list | tuple) else value

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        name = attribute.name
        if value is None and default is None:
            return
        if not isinstance(value, tuple) or not all(isinstance(each, float) and math.isfinite(each) for each in value):
            raise ValueError(f"'{name}' must be a list of finite numbers [{unit}]: {shortened(value)}")
        if len(value) < shortest:
            raise ValueError(f"'{name}' needs at least {shortest} numbers: {shortened(value)}")
        for each in value:
            _within(bounds, name, each)

    return field(default=plain(default), converter=plain, validator=check, metadata={"unit": unit, "doc": doc, "bounds": bounds})


def table(default: Sequence[Sequence[float]], doc: str, *, unit: str = "1", ge: float = -math.inf) -> Any:
    """Return an attrs field for rows of finite numbers with a bound; lists become tuples."""
    bounds = {} if math.isinf(ge) else {">=": ge}

    def plain(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple(tuple(map(_plain_float, row)) if isinstance(row, list | tuple) else row for row in value)

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        name, rows = attribute.name, value if isinstance(value, tuple) else ()
        flat = [each for row in rows for each in (row if isinstance(row, tuple) else (None,))]
        if not flat or not all(isinstance(each, float) and math.isfinite(each) for each in flat):
            raise ValueError(f"'{name}' must be rows of finite numbers [{unit}]: {shortened(value)}")
        for each in flat:
            _within(bounds, name, each)

    return field(default=plain(default), converter=plain, validator=check, metadata={"unit": unit, "doc": doc, "bounds": bounds})


def boolean(default: bool | None, doc: str) -> Any:
    """Return an attrs field for a switch; a default of None makes it optional."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, bool) and not (value is None and default is None):
            raise ValueError(f"'{attribute.name}' must be true or false: {shortened(value)}")

    return field(default=default, validator=check, metadata={"doc": doc})


def one_of(default: str, choices: tuple[str, ...], doc: str) -> Any:
    """Return an attrs field for one of a few words."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value not in choices:
            raise ValueError(f"'{attribute.name}' must be one of {', '.join(choices)}: {shortened(value)}")

    return field(default=default, validator=check, metadata={"doc": doc, "choices": choices})


def describe(spec: Any) -> list[tuple[str, Any, str, str]]:
    """Return (name, value, unit, doc) of each field of an attrs object, `preset` left out, for tables and `explain`."""
    rows = []
    for attribute in fields(type(spec)):
        value = getattr(spec, attribute.name)
        if attribute.name != "preset":
            rows.append((attribute.name, value, attribute.metadata.get("unit", ""), attribute.metadata.get("doc", "")))
    return rows
