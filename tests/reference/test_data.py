"""The numbers of the established simulator are here, whole, with source and licence: an absent file is an error, never a skip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ohmlet.errors import ConfigError
from ohmlet.interop.replay.case import read_cases

DATA = Path(__file__).parent / "data"


def test_every_group_is_there_and_states_its_source() -> None:
    assert [path.stem[0] for path in sorted(DATA.glob("?_*.json"))] == list("ABCDEFGIJ")
    for path in DATA.glob("?_*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["source"]["version"] == "1.2.0"
    text = (DATA / "README.md").read_text(encoding="utf-8")
    assert "aihwkit 1.2.0" in text
    assert "MIT" in text


def test_every_array_that_a_case_names_is_there() -> None:
    for case in read_cases(DATA):
        for name, described in case.data["arrays"].items():
            assert case.arrays[name].shape == tuple(described["shape"]), (case.id, name)
            assert np.isfinite(case.arrays[name]).any(), (case.id, name)


def test_missing_data_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no reference data \(JSON files with cases\) here"):
        list(read_cases(tmp_path))
