"""Programming, drift, read noise, converters and compensations of the established simulator, through its own parameter names."""

from __future__ import annotations

from pathlib import Path

import pytest

from ohmlet.interop.replay.case import Case, read_cases
from ohmlet.interop.replay.compare import compare
from ohmlet.interop.replay.inference import replay

DATA = Path(__file__).parent / "data"
CASES = {case.id: case for case in read_cases(DATA) if case.id.startswith("F")}


def test_no_case_is_missing() -> None:
    known = [*range(1, 19), *range(50, 58), *range(70, 76)]
    assert list(CASES) == [f"F{number:02}" for number in known]


@pytest.mark.parametrize("name", CASES)
def test_all_statistics_agree(name: str) -> None:
    case = CASES[name]
    verdict = compare(case, replay(case.data, case.inputs(), "reference"))
    assert verdict.passed, str(verdict)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.kind == "noise_model"])
def test_other_random_numbers_agree_as_well(name: str, seed: int) -> None:
    case: Case = CASES[name]
    verdict = compare(case, replay({**case.data, "id": f"{name} {seed}"}, case.inputs(), "reference"))
    assert verdict.passed, str(verdict)
