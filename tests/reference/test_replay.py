"""Every case of the established simulator that Ohmlet replays, and a replay that cannot be fooled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from click.testing import CliRunner

from ohmlet.interop.replay.__main__ import REPLAYS, main, verdict
from ohmlet.interop.replay.case import Case, read_cases
from ohmlet.interop.replay.compare import compare

DATA = Path(__file__).parent / "data"
CASES = {case.id: case for case in read_cases(DATA)}
FAST = [case for case in CASES.values() if case.kind.startswith(("mvm", "weight"))]


def test_the_data_are_all_here() -> None:
    assert len([case for case in CASES.values() if case.group.startswith("A")]) == 41
    assert len([case for case in CASES.values() if case.group.startswith("B")]) == 11
    assert len([case for case in CASES.values() if case.group.startswith("I")]) == 22


@pytest.mark.parametrize("case", FAST, ids=lambda case: case.id)
def test_a_case_agrees(case: Case) -> None:
    result = verdict(case, "auto")
    assert result.passed, str(result)


def test_no_replay_sees_what_it_is_compared_with() -> None:
    for case in CASES.values():
        assert not set(case.inputs()) & set(case.compared)


def shifted(case: Case, name: str, by: float) -> Case:
    return attrs.evolve(case, arrays={**case.arrays, name: case.arrays[name] + by})


@pytest.mark.parametrize(("id_", "name"), [("A02", "Y_bwd"), ("B07", "Y_fwd_std"), ("I01", "W_mod_std"), ("I41", "W_out")])
def test_a_reference_moved_by_a_little_more_than_the_tolerance_fails(id_: str, name: str) -> None:
    case = CASES[id_]
    result = verdict(shifted(case, name, 0.02), "auto")
    assert not result.passed
    assert result.statistic == name
    assert result.figure > 1


def test_a_missing_array_and_too_few_repetitions_are_failures() -> None:
    case = CASES["B01"]
    own: dict[str, Any] = {name: case.arrays[name] for name in case.compared}
    assert compare(case, {**own, "n": np.asarray(12000)}).passed
    assert compare(case, {**own, "n": np.asarray(11999)}).note == "11999 own repetitions, the reference has 12000"
    del own["Y_bwd_std"]
    assert compare(case, {**own, "n": np.asarray(12000)}).note == "missing: nothing was computed"


def test_nan_and_a_wrong_shape_are_failures() -> None:
    case = CASES["I40"]
    assert not compare(case, {"W_out": np.full_like(case.arrays["W_out"], np.nan)}).passed
    assert "shape" in compare(case, {"W_out": case.arrays["W_out"][:3]}).note


def test_what_nothing_replays_yet_is_a_failure_and_says_so() -> None:
    case = attrs.evolve(CASES["A02"], data={**CASES["A02"].data, "kind": "of_tomorrow"})
    assert case.kind not in REPLAYS
    result = verdict(case, "auto")
    assert not result.passed
    assert result.note == f"kind '{case.kind}' is not replayed yet"


def test_the_command_prints_a_row_per_case_and_its_exit_status_tells(tmp_path: Path) -> None:
    good = CliRunner().invoke(main, [str(DATA), "--case", "A02", "--case", "I40"])
    assert good.exit_code == 0
    assert [line.split()[0] for line in good.output.splitlines()] == ["A02", "I40", "2"]
    assert "2 passed, 0 failed" in good.output
    # The same two cases, of which one now asks for other numbers than those that come out.
    for path in (*DATA.glob("A_*"), *DATA.glob("I_*")):
        shutil.copy(path, tmp_path)
    content = json.loads((DATA / "I_modifiers_clip_remap.json").read_text())
    numbers = dict(np.load(DATA / content["npz"]))
    key = next(case for case in content["cases"] if case["id"] == "I40")["arrays"]["W_out"]["key"]
    numbers[key] = numbers[key] + np.float32(0.02)
    np.savez(tmp_path / content["npz"], **numbers)
    bad = CliRunner().invoke(main, [str(tmp_path), "--case", "A02", "--case", "I40"])
    assert bad.exit_code == 1
    assert [line.split()[0] for line in bad.output.splitlines()] == ["A02", "I40", "1"]
    assert "1 passed, 1 failed" in bad.output


@pytest.mark.parametrize("arguments", [["absent"], [str(DATA), "--case", "Z99"]])
def test_nothing_to_replay_is_an_error(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "error: " in result.output


def test_an_unknown_engine_fails_every_case() -> None:
    result = CliRunner().invoke(main, [str(DATA), "--case", "A02", "--engine", "vacuum"])
    assert result.exit_code == 1
    assert "unknown engine 'vacuum'" in result.output


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    shutil.copy(DATA / "I_modifiers_clip_remap.json", tmp_path)
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.exit_code == 2
    assert "not reference data" in result.output


def test_tolerances_come_from_the_data(tmp_path: Path) -> None:
    content = json.loads((DATA / "I_modifiers_clip_remap.json").read_text())
    for case in content["cases"]:
        if case["id"] == "I43":
            case["arrays"]["W_out"]["compare"] = {"rule": "abs", "atol": 0.0, "rtol": 0.0}
    (tmp_path / "I_modifiers_clip_remap.json").write_text(json.dumps(content))
    shutil.copy(DATA / content["npz"], tmp_path)
    result = CliRunner().invoke(main, [str(tmp_path), "--case", "I43"])
    assert result.exit_code == 1
