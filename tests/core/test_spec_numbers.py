"""Fields that hold several numbers, in a row or in rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from attrs import frozen

from ohmlet.spec import numbers, table


@frozen(kw_only=True)
class Holder:
    some: tuple[float, ...] = numbers((1.0, 2.0), "some numbers", unit="uS", ge=0.0, shortest=2)
    optional: tuple[float, ...] | None = numbers(None, "perhaps some", gt=0.0)
    rows: tuple[tuple[float, ...], ...] = table(((1.0, 2.0), (3.0,)), "rows", ge=-1.0)


def test_lists_and_whole_numbers_become_tuples_of_floats() -> None:
    held = Holder(some=[1, np.float64(2)], optional=[3], rows=[[1, 2], (3, 4)])  # type: ignore[arg-type]
    assert held == Holder(some=(1.0, 2.0), optional=(3.0,), rows=((1.0, 2.0), (3.0, 4.0)))
    assert {type(each) for each in (*held.some, *held.rows[0])} == {float}
    assert hash(held) == hash(Holder(some=(1.0, 2.0), optional=(3.0,), rows=((1.0, 2.0), (3.0, 4.0))))


def test_what_is_left_out_is_none() -> None:
    assert Holder().optional is None


@pytest.mark.parametrize(("settings", "words"), [
    ({"some": 1.0}, r"'some' must be a list of finite numbers \[uS\]: 1.0"),
    ({"some": (1.0, math.nan)}, "must be a list of finite numbers"),
    ({"some": (1.0, True)}, "must be a list of finite numbers"),
    ({"some": None}, "must be a list of finite numbers"),
    ({"some": (1.0,)}, r"'some' needs at least 2 numbers: \(1.0,\)"),
    ({"some": (1.0, -1.0)}, r"'some' must be >= 0: -1.0"),
    ({"optional": (0.0,)}, r"'optional' must be > 0: 0.0"),
    ({"rows": (1.0, 2.0)}, r"'rows' must be rows of finite numbers \[1\]"),
    ({"rows": ((1.0,), (math.inf,))}, "must be rows of finite numbers"),
    ({"rows": ()}, "must be rows of finite numbers"),
    ({"rows": ((-2.0,),)}, r"'rows' must be >= -1: -2.0"),
])  # fmt: skip
def test_what_is_no_number_or_out_of_bounds_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Holder(**settings)
