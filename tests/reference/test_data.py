from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.reference import cases


def test_every_group_is_there_and_states_its_source() -> None:
    assert [path.stem[0] for path in sorted(cases.DATA.glob("?_*.json"))] == list("ABCDEFGIJ")
    for path in cases.DATA.glob("?_*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["source"]["version"] == "1.2.0"
    text = (cases.DATA / "README.md").read_text(encoding="utf-8")
    assert "aihwkit 1.2.0" in text
    assert "MIT" in text


@pytest.mark.parametrize("letter", list("ABCDEFGIJ"))
def test_every_array_that_a_case_names_is_there(letter: str) -> None:
    described, values = cases.group(letter)
    for case in described.values():
        for array in case["arrays"].values():
            assert values[array["key"]].shape == tuple(array["shape"])
            assert np.isfinite(values[array["key"]]).any()


def test_missing_data_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cases, "DATA", tmp_path)
    with pytest.raises(FileNotFoundError, match="no reference data of group A"):
        cases.group.__wrapped__("A")


def test_a_result_that_is_off_does_not_agree() -> None:
    case = cases.Case("A03")
    reference = case.array("Y_fwd")
    case.agrees("Y_fwd", reference)
    with pytest.raises(AssertionError, match="A03 Y_fwd: the largest deviation is"):
        case.agrees("Y_fwd", reference + 1e-3)
