"""Devices that switch at random: single pulses by the uniform number given, trains by their binomial statistics."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet.cells import build_array
from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing import run_kit
from ohmlet.testing.device import exact_read, pulsed
from ohmlet_devices.switching_probability import thermal_switching
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.reference import stepper
from tests.plugins.test_devices_oracle import array_of


def many(cell: dict[str, Any]) -> Any:
    return build_array(structure(cell, UnitCell), ArraySite(100, 100, torch.tensor(9), kernels_of("reference"), exact_read))


def low(array: Any) -> Any:
    array.set_weights(torch.full_like(array.weights(), -1.0), Stream(torch.tensor(1), None))
    return array


def after(array: Any, w: float, up: bool, u: float) -> float:
    """The weight after one pulse with the uniform number `u`."""
    cells = tuple(getattr(array, f"cell_{part}") for part in array.step.cell)
    made, _ = stepper(array.step)(torch.tensor([[w]]), torch.tensor([[up]]), (torch.tensor([[u]]),), cells, (), array.params, array.tables)
    return float(made)


BINARY: dict[str, Any] = {"type": "binary_switch", "switching": {"type": "per_pulse", "p_up": 0.3, "p_down": 0.7}, "w_high": 0.8}


@pytest.mark.parametrize(
    ("w", "up", "u", "expected"),
    [
        (-1.0, True, 0.29, 0.8),
        (-1.0, True, 0.31, -1.0),
        (-1.0, False, 0.01, -1.0),
        (0.8, False, 0.69, -1.0),
        (0.8, False, 0.71, 0.8),
        (0.8, True, 0.01, 0.8),
    ],
)
def test_a_pulse_switches_below_its_probability(w: float, up: bool, u: float, expected: float) -> None:
    assert after(array_of(BINARY, 1, 1), w, up, u) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("w", "up", "u", "expected"),
    [
        (0.0, True, 0.39, 0.5),
        (0.0, True, 0.41, 0.0),
        (0.0, False, 0.59, -0.5),
        (0.0, False, 0.61, 0.0),
        (1.0, True, 0.1, 1.0),
        (-1.0, False, 0.1, -1.0),
    ],
)
def test_a_wall_that_comes_loose_moves_to_the_next_notch(w: float, up: bool, u: float, expected: float) -> None:
    assert after(array_of({"type": "domain_wall", "levels": 5, "p_up": 0.4, "p_down": 0.6}, 1, 1), w, up, u) == pytest.approx(expected)


@pytest.mark.parametrize("pulses", [1, 2, 5])
def test_low_devices_wait_geometrically(pulses: int) -> None:
    array = low(many({"type": "binary_switch", "switching": {"type": "per_pulse", "p_up": 0.3, "p_down": 0.7}}))
    waiting = float((pulsed(array, "u" * pulses).weights() < 0).double().mean())
    expected = 0.7**pulses
    assert waiting == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 10_000))


def test_walls_move_by_a_binomial_number_of_notches() -> None:
    array = low(many({"type": "domain_wall", "levels": 101, "p_up": 0.4}))
    moved = (pulsed(array, "u" * 20).weights().double() + 1) / 0.02
    assert torch.allclose(moved, moved.round(), atol=1e-4)
    assert float(moved.mean()) == pytest.approx(20 * 0.4, abs=4 * math.sqrt(20 * 0.24 / 10_000))
    assert float(moved.var()) == pytest.approx(20 * 0.24, rel=0.06)


def test_weights_that_are_set_become_states() -> None:
    wanted = torch.tensor([[-0.9, -0.2, 0.05, 0.3, 2.0]])
    for cell, expected in (
        ({"type": "binary_switch"}, [-1.0, -1.0, 1.0, 1.0, 1.0]),
        ({"type": "domain_wall", "levels": 5}, [-1.0, 0.0, 0.0, 0.5, 1.0]),
    ):
        array = array_of(cell, 1, 5)
        array.set_weights(wanted, Stream(torch.tensor(1), None))
        assert array.weights().tolist() == [pytest.approx(expected)]


def test_probabilities_and_states_of_devices_spread() -> None:
    cell = many(
        {"type": "binary_switch", "switching": {"type": "per_pulse", "p_up": 0.4, "p_down": 0.1}, "p_dtod": 0.5, "w_high_dtod": 0.1}
    ).cell()
    assert float(cell["p_up"].median()) == pytest.approx(0.4, rel=0.03)
    assert float(cell["p_up"].max()) == 1.0
    assert float(cell["p_down"].log().std()) == pytest.approx(0.5, rel=0.03)
    assert float(cell["w_max"].std()) == pytest.approx(0.1, rel=0.03)
    wall = many({"type": "domain_wall", "p_up": 0.2, "p_dtod": 0.3}).cell()
    assert float(wall["p_up"].log().std()) == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize(("voltage", "width"), [(0.3, 1e-8), (0.45, 1e-8), (0.45, 1e-6), (0.5, 5e-9), (0.9, 5e-9)])
def test_switching_is_thermally_activated(voltage: float, width: float) -> None:
    """Escape over a barrier that falls linearly with the voltage: a Poisson process of rate exp(-barrier) / tau_0."""
    rate = math.exp(-40 * max(1 - voltage / 0.5, 0)) / 1e-9
    assert thermal_switching(voltage, width, 0.5, 40.0) == pytest.approx(1 - math.exp(-rate * width), rel=1e-9)


def test_probability_grows_with_voltage_and_width_and_halves_in_a_mean_time() -> None:
    half = 1e-9 * math.exp(40 * 0.1) * math.log(2)
    assert thermal_switching(0.45, half, 0.5, 40.0) == pytest.approx(0.5)
    assert thermal_switching(0.45, 2 * half, 0.5, 40.0) == pytest.approx(0.75)
    assert thermal_switching(-0.45, half, 0.5, 40.0) == pytest.approx(0.5)


def test_pulses_state_their_voltage_in_a_config() -> None:
    cell = {"type": "binary_switch", "switching": {"type": "thermally_activated", "up_V": 0.45, "up_s": 2e-8, "down_V": 0.6}}
    p_up, p_down = 1 - math.exp(-20 * math.exp(-4)), 1 - math.exp(-10)
    assert structure(cell, UnitCell).granularity == pytest.approx((p_up + p_down) / 4 * 2)
    waiting: Tensor = pulsed(low(many(cell)), "uu").weights() < 0
    assert float(waiting.double().mean()) == pytest.approx((1 - p_up) ** 2, abs=0.02)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"type": "binary_switch", "w_high": -2.0}, r"w_high = -2 must be above w_low = -1"),
        ({"type": "binary_switch", "switching": {"type": "thermally_activated", "up_V": 0.01}}, "which is never: raise voltages"),
        ({"type": "domain_wall", "w_max": -1.0}, r"w_max = -1 must be above w_min = -1"),
        ({"type": "domain_wall", "levels": 1}, "'levels' must be >= 2"),
        ({"type": "domain_wall", "p_up": 1.1}, "'p_up' must be <= 1"),
    ],
)
def test_what_makes_no_sense_is_refused(cell: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        structure(cell, UnitCell)


@pytest.mark.parametrize(
    "cell",
    [
        {"type": "binary_switch", "switching": {"type": "thermally_activated"}, "p_dtod": 0.3, "w_high_dtod": 0.1, "w_low_dtod": 0.1},
        {"type": "binary_switch", "switching": {"type": "per_pulse", "p_up": 1.0, "p_down": 0.05}},
        {"type": "domain_wall", "levels": 5, "p_up": 0.5, "p_down": 0.3, "p_dtod": 0.2},
        {"type": "label_step", "nl_up": 0.0, "nl_down": 4.0, "cycle_to_cycle": 0.02, "nl_dtod": 0.3, "dw_min_dtod": 0.2, "w_max_dtod": 0.1},
        {"type": "label_step", "corrupt_devices_prob": 0.2, "perfect_bias": True, "lifetime": 50.0},
    ],
    ids=str,
)
def test_settings_pass_the_kit_of_devices(cell: dict[str, Any]) -> None:
    assert not [f"{result.name}: {result.message}" for result in run_kit("device", structure(cell, UnitCell)) if not result.passed]


@pytest.mark.parametrize(
    "cell",
    [
        {"type": "one_sided", "minus": "binary_switch", "copy_inverted": "mirrored"},
        {"type": "vector", "unit_cell_devices": ["domain_wall"] * 2},
    ],
    ids=str,
)
def test_cells_of_several_take_them(cell: dict[str, Any]) -> None:
    array = many(cell)
    assert float(pulsed(array, "u" * 4).weights().mean()) > float(pulsed(many(cell), "d" * 4).weights().mean())
