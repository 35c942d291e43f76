"""Group J: a measured response and fits to it; ours are at least as good as those given, and worse ones are seen."""

from __future__ import annotations

import copy
from pathlib import Path

import attrs
import pytest

from ohmlet.interop.replay.__main__ import verdict
from ohmlet.interop.replay.case import Case, read_cases
from ohmlet.interop.replay.fitting import fitted_again

CASES = {case.id: case for case in read_cases(Path(__file__).parent / "data") if case.group[0] == "J"}


def test_the_data_are_all_here() -> None:
    assert list(CASES) == ["J00", "J20", "J30", "J31", "J40"]


@pytest.mark.parametrize("name", ["J00", "J20", "J40"])
def test_a_case_agrees(name: str) -> None:
    result = verdict(CASES[name], "auto")
    assert result.passed, str(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["J30", "J31"])
def test_a_fit_of_the_measured_response_is_as_good(name: str) -> None:
    result = verdict(CASES[name], "auto")
    assert result.passed, str(result)


def test_the_true_parameters_come_back() -> None:
    found = fitted_again(CASES["J40"])
    for name, true in CASES["J40"].data["true_parameters"].items():
        assert found[name].low <= true <= found[name].high, str(found[name])


def changed(name: str, **data: object) -> Case:
    return attrs.evolve(CASES[name], data={**copy.deepcopy(dict(CASES[name].data)), **data})


@pytest.mark.parametrize(
    ("case", "statistic"),
    [
        (changed("J00", g_max=1.36), "up"),
        (changed("J40", rms_deviation=0.018), "rms_deviation"),
        (changed("J40", result={**CASES["J40"].data["result"], "w_max": 0.93}), "model_response"),
    ],
)
def test_what_is_off_is_seen(case: Case, statistic: str) -> None:
    result = verdict(case, "auto")
    assert not result.passed
    assert result.statistic == statistic
