"""Fields of specs: units, bounds, and what they say about a wrong value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from attrs import fields, frozen

from ohmlet.spec import Spec, boolean, describe, integer, number, numbers, one_of


@frozen(kw_only=True)
class Cell(Spec):
    """A cell with one field of each sort."""

    w_max: float = number(0.6, "largest weight", unit="uS", gt=0.0, le=1.0)
    slope: float = number(-1.0, "slope", ge=-2.0, lt=2.0)
    bound: float = number(math.inf, "bound", gt=0.0, infinite=True)
    free: float = number(0.0, "anything")
    maybe: float | None = number(None, "optional", ge=0.0)
    levels: int = integer(4, "levels", ge=2, le=8)
    count: int | None = integer(None, "optional count")
    table: tuple[float, ...] = numbers((1, 2), "coefficients", unit="uS", ge=0.0, shortest=2)
    on: bool = boolean(True, "switch")
    rounding: str = one_of("nearest", ("nearest", "stochastic"), "how")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("w_max", 1.0),
        ("w_max", 1e-300),
        ("w_max", 1),
        ("slope", -2.0),
        ("slope", math.nextafter(2.0, 0.0)),
        ("bound", math.inf),
        ("free", -1e308),
        ("maybe", None),
        ("maybe", 0.0),
        ("levels", 2),
        ("levels", 8),
        ("count", None),
        ("count", 2**63 - 1),
        ("count", -(2**63)),
        ("table", (0.0, 1e300, 3.0)),
        ("on", False),
        ("rounding", "stochastic"),
    ],
)
def test_value_within_bounds_is_taken(field: str, value: Any) -> None:
    assert getattr(Cell(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("w_max", 0.0, r"'w_max' must be > 0: 0\.0"),
        ("w_max", 1.5, r"'w_max' must be <= 1: 1\.5"),
        ("w_max", math.nan, "'w_max' must be finite: nan"),
        ("w_max", math.inf, "'w_max' must be finite: inf"),
        ("w_max", "0.1", r"'w_max' must be a number \[uS\]: '0\.1'"),
        ("w_max", True, r"'w_max' must be a number \[uS\]: True"),
        ("w_max", None, r"'w_max' must be a number \[uS\]: None"),
        ("w_max", [1.0], r"'w_max' must be a number \[uS\]: \[1\.0\]"),
        ("slope", -2.5, r"'slope' must be >= -2: -2\.5"),
        ("slope", 2.0, r"'slope' must be < 2: 2\.0"),
        ("bound", -math.inf, "'bound' must be > 0: -inf"),
        ("bound", math.nan, "'bound' must be finite: nan"),
        ("bound", 10**400, r"'bound' must be finite: 10{79}\.\.\. \(int\)"),
        pytest.param("free", 10**5000, r"'free' must be finite: \(int too large to show\)", id="free-huge"),
        ("maybe", -1.0, r"'maybe' must be >= 0: -1\.0"),
        ("levels", 1, "'levels' must be >= 2: 1"),
        ("levels", 9, "'levels' must be <= 8: 9"),
        ("levels", 4.0, r"'levels' must be a whole number: 4\.0"),
        ("levels", True, "'levels' must be a whole number: True"),
        ("levels", None, "'levels' must be a whole number: None"),
        ("count", 2**63, "'count' must be <= 9223372036854775807: 9223372036854775808"),
        pytest.param("count", 10**5000, r"'count' must be <= 9223372036854775807: \(int too large to show\)", id="count-huge"),
        ("table", (1.0,), r"'table' needs at least 2 numbers: \(1\.0,\)"),
        ("table", (1.0, -1.0), r"'table' must be >= 0: -1\.0"),
        ("table", (1.0, math.inf), r"'table' must be a list of finite numbers \[uS\]: \(1\.0, inf\)"),
        ("table", (1.0, "2"), r"'table' must be a list of finite numbers \[uS\]: \(1\.0, '2'\)"),
        ("table", (1.0, True), r"'table' must be a list of finite numbers \[uS\]: \(1\.0, True\)"),
        ("table", 1.0, r"'table' must be a list of finite numbers \[uS\]: 1\.0"),
        ("on", 1, "'on' must be true or false: 1"),
        ("on", "false", "'on' must be true or false: 'false'"),
        ("on", None, "'on' must be true or false: None"),
        ("rounding", "up", "'rounding' must be one of nearest, stochastic: 'up'"),
        ("rounding", None, "'rounding' must be one of nearest, stochastic: None"),
        ("rounding", ["nearest"], r"'rounding' must be one of nearest, stochastic: \['nearest'\]"),
    ],
)
def test_wrong_value_is_quoted_with_what_is_right(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        Cell(**{field: value})


@pytest.mark.parametrize("value", [1, np.float64(1.0)])
def test_numbers_become_plain_floats(value: Any) -> None:
    assert type(Cell(w_max=value).w_max) is float


def test_list_of_numbers_becomes_a_tuple_of_floats() -> None:
    cell = Cell(table=(1, np.float64(2.0)))
    assert cell.table == (1.0, 2.0)
    assert {type(each) for each in cell.table} == {float}


def test_default_is_checked_too() -> None:
    @frozen(kw_only=True)
    class Wrong(Spec):
        """Its own default is out of bounds."""

        size: float = number(0.0, "size", gt=0.0)

    with pytest.raises(ValueError, match="'size' must be > 0"):
        Wrong()


def test_specs_are_frozen() -> None:
    with pytest.raises(AttributeError, match="can't set attribute"):
        Cell().w_max = 0.5  # type: ignore[misc]


def test_equal_values_are_equal_specs() -> None:
    assert Cell(w_max=0.5) == Cell(w_max=0.5)
    assert hash(Cell(w_max=0.5)) == hash(Cell(w_max=0.5))
    assert Cell(w_max=0.5) != Cell(w_max=0.25)


def test_preset_name_is_no_part_of_the_value() -> None:
    assert Cell(preset="somewhere") == Cell()
    assert hash(Cell(preset="somewhere")) == hash(Cell())


def test_spec_has_no_equations_unless_it_states_them() -> None:
    assert Cell().equations() == ()


def test_description_lists_name_value_unit_and_words() -> None:
    assert describe(Cell())[0] == ("w_max", 0.6, "uS", "largest weight")


def test_description_leaves_the_preset_out() -> None:
    assert "preset" not in [row[0] for row in describe(Cell(preset="somewhere"))]


def test_bounds_are_in_the_metadata() -> None:
    bounds = {attribute.name: dict(attribute.metadata.get("bounds", {})) for attribute in fields(Cell)}
    assert bounds["w_max"] == {">": 0.0, "<=": 1.0}
    assert bounds["free"] == {}
    assert bounds["levels"] == {">=": 2, "<=": 8}
