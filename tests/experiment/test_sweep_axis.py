"""Axes: which values they have, what they set, and which make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.experiment.sweep_axis import Axis


def axis(value: Any) -> Axis:
    return structure(value, Axis, "axis")


@pytest.mark.parametrize(
    ("value", "grid"),
    [
        ([3, "a", None], (3, "a", None)),
        ({"values": [0.5]}, (0.5,)),
        ({"low": 0.1, "high": 0.5, "step": 0.1}, (0.1, 0.2, 0.3, 0.4, 0.5)),
        ({"low": 2, "high": 9, "step": 3}, (2, 5, 8)),
        ({"low": 1, "high": 9}, ()),
    ],
)
def test_values_of_an_axis(value: Any, grid: tuple[Any, ...]) -> None:
    found = axis(value).grid()
    assert found == grid
    assert [type(each) for each in found] == [type(each) for each in grid]


def test_a_range_of_whole_numbers_stays_whole() -> None:
    assert axis({"low": 1, "high": 64, "log": True}).is_whole
    assert not axis({"low": 1.0, "high": 64}).is_whole


def test_states_are_the_window_divided_by_the_step() -> None:
    assert axis({"set": "a.dw_min", "divide": 2.0, "values": [40]}).to_set(40, None, "a.dw_min") == pytest.approx(0.05)


def test_scale_multiplies_what_the_file_says() -> None:
    assert axis({"set": ["a", "b"], "scale": True, "values": [0, 3]}).to_set(3, 0.1, "a") == pytest.approx(0.3)
    with pytest.raises(ConfigError, match="'scale' needs a number in the file, and 'a' is None"):
        axis({"scale": True, "values": [3]}).to_set(3, None, "a")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "the list is empty"),
        ({}, "there are none"),
        ({"low": 5, "high": 2}, "'low' 5 must be less than 'high' 2"),
        ({"low": 2, "high": 2}, "'low' 2 must be less than 'high' 2"),
        ({"low": "5", "high": 6}, "'low' must be a finite number: '5'"),
        ({"low": 5}, "a range needs both bounds"),
        ({"low": 0, "high": 2, "log": True}, "'low' must be > 0 on a logarithmic scale"),
        ({"low": 1, "high": 2, "step": 0}, "'step' must be > 0"),
        ({"low": 0, "high": 1, "step": 1e-9}, "makes more than 1000 values"),
        ({"low": 1, "high": 2, "log": True, "step": 0.1}, "'step' 0.1 has no effect with 'log'"),
        ({"values": [1], "low": 1, "high": 2}, "exclude each other"),
        ({"values": [1], "log": True}, "no effect on 'values'"),
        ([1, 2, 1], "a value stands twice"),
        ({"values": [0, 1], "divide": 2.0}, "'divide' needs numbers but 0, got 0"),
        ({"values": ["a"], "scale": True}, "'scale' needs numbers, got 'a'"),
        ({"values": [1], "divide": 2.0, "scale": True}, "exclude each other"),
        ({"values": [1], "stpe": 2}, "did you mean 'step'"),
    ],
)
def test_axes_that_make_no_sense_are_refused_with_the_reason(value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        axis(value)
    assert words in str(error.value)
