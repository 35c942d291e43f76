"""Pulse responses of the established simulator, deterministic and with spreads, and unseen cases of the same kinds."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import UnitCell
from ohmlet.interop.aihwkit.device_cells import device
from ohmlet.interop.aihwkit.pulses import pulsed_update
from ohmlet.interop.replay.__main__ import verdict
from ohmlet.interop.replay.case import Case, read_cases
from ohmlet.interop.replay.responses import Pulsing, checkpoints, deterministic, rank_correlation

CASES = {case.id: case for case in read_cases(Path(__file__).parent / "data") if case.group[0] in "CD"}
QUICK = ("C02", "C10", "C16", "C18", "C30", "C33", "D12c", "D27d", "D33d", "D34c", "D90", "D91", "D92", "D93", "D94", "D95")


def test_the_data_are_all_here() -> None:
    assert [sum(case.group[0] == letter for case in CASES.values()) for letter in "CD"] == [34, 77]


@pytest.mark.parametrize("name", QUICK)
def test_a_case_agrees(name: str) -> None:
    result = verdict(CASES[name], "auto")
    assert result.passed, str(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(QUICK)))
def test_every_case_agrees(name: str) -> None:
    result = verdict(CASES[name], "auto")
    assert result.passed, str(result)


def changed(name: str, **settings: Any) -> Case:
    data = copy.deepcopy(CASES[name].data)
    data["parameters"]["device"].update(settings)
    return Case(CASES[name].group, data, CASES[name].arrays)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("C02", {"up_down": 0.22}),
        ("C10", {"up_down": 0.28}),
        ("D01c", {"dw_min_std": 0.35}),
        ("D02d", {"w_max_dtod": 0.33}),
        ("D90", {"lifetime": 20.1}),
        ("D92", {"reset_dtod": 0.05}),
    ],
)
def test_a_slightly_different_device_fails(name: str, settings: dict[str, float]) -> None:
    assert not verdict(changed(name, **settings), "auto").passed


def parameters(name: str = "D01c", **settings: Any) -> dict[str, Any]:
    return {**copy.deepcopy(CASES[name].data["parameters"]["device"]), **settings}


def read(**settings: Any) -> tuple[Any, list[str]]:
    rows: list[Any] = []
    made = structure(device(parameters(**settings), rows), UnitCell)
    return made, [str(row) for row in rows]


def test_settings_without_effect_become_rows() -> None:
    made, rows = read(diffusion_dtod=0.2, corrupt_devices_range=0.5, construction_seed=7)
    assert made.diffusion_dtod == 0.0
    assert [row.split(" = ")[0] for row in rows] == ["corrupt_devices_range", "diffusion_dtod", "construction_seed"]


def test_conventions_are_set() -> None:
    made, rows = read(dw_min_dtod_log_normal=True, up_down=0.1)
    assert (made.up_down_form, made.log_normal_center, made.reset_dtod_form) == ("one_sided", "median", "absolute")
    assert not rows


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"__class__": "NoSuchDevice"}, "no device of this name is read: 'NoSuchDevice'; known: ConstantStepDevice, "),
        ({"w_max": "large"}, "expected a number, got 'large'"),
    ],
)
def test_what_has_no_counterpart_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(**settings)


def test_a_missing_field_is_named() -> None:
    stated = parameters()
    del stated["dw_min_dtod"]
    with pytest.raises(ConfigError, match="ConstantStepDevice is without dw_min_dtod: give all fields"):
        device(stated, [])


def test_the_old_name_of_the_one_sided_cell_is_read() -> None:
    stated = parameters("C32")
    assert device({**stated, "__class__": "DifferenceUnitCell"}, []) == device(stated, [])


def test_update_resolutions_above_one_are_refused() -> None:
    stated = dict(CASES["C01"].data["parameters"]["update"])
    with pytest.raises(ConfigError, match=r"res = 10: .* makes no pulses; write 1/10"):
        pulsed_update({**stated, "res": 10}, [])


def test_checkpoints_count_since_the_direction_changed() -> None:
    steps = checkpoints({"checkpoints": [["set", 0], ["up", 2], ["up", 5], ["down", 1], ["down", 3], ["up", 1]]})
    assert [pulses.tolist() for pulses in steps] == [[], [1, 1], [1, 1, 1], [-1], [-1, -1], [1]]


def test_ranks_do_not_depend_on_the_scale() -> None:
    x = torch.linspace(0, 1, 50).numpy()
    found = rank_correlation(np.stack([x, np.exp(5 * x), -(x**3), x * 0]))
    assert found == pytest.approx(np.array([[1, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 0]]))


def test_random_choices_differ_between_the_source_crossbars() -> None:
    cell = parameters("C30", update_policy="VectorUnitCellUpdatePolicy.SINGLE_RANDOM")
    case = {**CASES["C30"].data, "parameters": {**CASES["C30"].data["parameters"], "device": cell}}
    ends = []
    for index in range(4):
        made = Pulsing(case, 1, 1, "auto", f"tile {index}")
        made.pulse(torch.ones(40))
        ends.append(float(made.weights()))
    assert len(set(ends)) > 1


def test_a_reference_run_starts_where_the_data_say() -> None:
    own = deterministic(CASES["C31"].data, CASES["C31"].inputs(), "auto")
    assert own["w_from_zero"][0] == 0.0
    assert own["w_from_w_min"][0] == CASES["C31"].arrays["w_from_w_min"][0]
