"""aihwkit's noise models, converters and compensations as parts of a config, and the rows on what it would have ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ohmlet
from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.noise import conductance_converter, drift_compensation, noise_model
from ohmlet.interop.aihwkit.report import ImportRow

DATA = json.loads((Path(__file__).parents[1] / "reference" / "data" / "F_inference_noise.json").read_text("utf-8"))
CASES = {case["id"]: case for case in DATA["cases"]}


def model(name: str, **changes: Any) -> tuple[dict[str, Any], list[ImportRow]]:
    return noise_model({**CASES[name]["parameters"]["noise_model"], **changes})


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["kind"] == "noise_model"])
def test_a_config_takes_what_was_read(name: str) -> None:
    converter, _ = conductance_converter(CASES[name]["parameters"]["noise_model"]["g_converter"])
    tile = {"type": "inference", "noise_model": model(name)[0], "conductance_converter": converter}
    config = ohmlet.AnalogConfig.parse({"tile": tile})
    config.tile.noise_model.check(config.tile.conductance_converter.window)  # type: ignore[attr-defined]


def test_settings_of_plain_models_leave_no_row() -> None:
    for name in ("F01", "F02", "F03", "F10", "F11", "F12", "F13", "F14"):
        assert model(name)[1] == []


def test_what_a_chip_has_from_its_number_of_devices_is_not_repeated() -> None:
    assert set(model("F12")[0]) == {"type", "num_devices", "t_read", "prog_noise_scale", "read_noise_scale", "drift_scale"}
    own, rows = model("F12", t_0=50.0, prog_coeff=[0.5, 1.0], prog_coeff_g_max_reference=5.0)
    assert (own["t_first"], own["prog_coeff"], own["g_max_reference_uS"], rows) == (50.0, [0.5, 1.0], 5.0, [])


def test_an_acceptance_range_that_the_source_does_not_find_becomes_the_one_it_takes() -> None:
    plain, rows = model("F18", acceptance_range=2e-2)
    assert plain["acceptance_range"] == 0.2
    assert ImportRow("acceptance_range", 0.02, "0.2 percent: the table has [0.2, 2.0] only") in rows
    assert not [row for row in model("F18")[1] if row.setting == "acceptance_range"]


def test_a_reference_stored_under_the_wrong_name_is_reported() -> None:
    plain, rows = model("F15")
    assert plain["g_max_reference_uS"] == 25.0
    assert [row.setting for row in rows] == ["prog_coeff_g_max_reference", "coeff_dic"]
    assert [row.setting for row in model("F16")[1]] == ["coeff_dic"]


def test_a_window_that_the_converter_overrules_is_reported() -> None:
    assert [str(row) for row in model("F01", g_max=40.0)[1]] == ["g_max = 40.0 became 25, that of the conductance converter"]


@pytest.mark.parametrize(
    ("name", "settings"), [("F50", []), ("F54", []), ("F55", ["g_lst"]), ("F56", ["g_converter"]), ("F57", ["g_converter"])]
)
def test_rows_of_converters(name: str, settings: list[str]) -> None:
    plain, rows = conductance_converter(CASES[name]["parameters"]["g_converter"])
    assert [row.setting for row in rows] == settings
    assert ("nodes" in plain) == (name == "F55")


@pytest.mark.parametrize(("name", "expected"), [
    ("GlobalDriftCompensation", {"type": "global"}),
    ("GlobalDriftCompensationWithExactReference", {"type": "global", "reference": "exact"}),
    ("PerColumnDriftCompensation", {"type": "per_column"}),
])  # fmt: skip
def test_compensations(name: str, expected: dict[str, str]) -> None:
    assert drift_compensation({"__class__": name}) == (expected, [])


def test_no_compensation_is_none() -> None:
    assert drift_compensation(None) == ({"type": "none"}, [])


@pytest.mark.parametrize("read", [noise_model, conductance_converter, drift_compensation])
def test_an_unknown_class_is_refused_naming_the_known_ones(read: Any) -> None:
    with pytest.raises(ConfigError, match=r"'MyOwn' is not read here; known: \w+, \w+"):
        read({"__class__": "MyOwn"})
