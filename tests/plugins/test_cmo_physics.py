"""The compact model of CMO/HfOx against published conductances, two trains of pulses, and its equations solved step by step in time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from ohmlet.cells import DeviceArray, build_array
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing.device import ONE_PULSE, exact_read
from ohmlet_devices.cmo_filament import Filament
from ohmlet_devices.cmo_physics import CMOPhysics
from ohmlet_kernels.noise import Stream

K, Q = 1.380649e-23, 1.602176634e-19
SYMMETRY = 1.64e25
UP = [26.3, 29.7, 34.4, 40.7, 48.5, 56.9, 64.3, 70.1, 74.3, 77.4]
DOWN = [88.0, 79.6, 70.3, 63.0, 57.7, 53.7, 50.6]


def filament() -> Filament:
    return Filament(r_series=223.22, r_thermal=1.4e6, t_ambient=293.0, c_hrs=7e24, c_lrs=3.77e25)


def array_of(device: CMOPhysics, rows: int = 1, columns: int = 1, engine: str = "reference") -> DeviceArray:
    made = build_array(device, ArraySite(rows, columns, torch.tensor(3), kernels_of(engine), exact_read))
    assert isinstance(made, DeviceArray)
    return made


def train(device: CMOPhysics, way: float, count: int) -> list[float]:
    """Return the conductances [uS] from the end of the window on, pulse by pulse."""
    array, (low, high) = array_of(device), device.window_uS
    array.set_weights(torch.full((1, 1), -way), Stream(torch.tensor(1)))
    seen = [float(array.weights())]
    for number in range(count):
        array.pulse(-torch.ones(1, 1), torch.full((1, 1), way), 1.0, ONE_PULSE, Stream(torch.tensor(1), torch.tensor([number])))
        seen.append(float(array.weights()))
    return [low + (high - low) * (w + 1) / 2 for w in seen]


def test_conductances_of_the_three_states() -> None:
    low, high = CMOPhysics().window_uS
    assert low == pytest.approx(26.3, rel=0.002)
    assert high == pytest.approx(88.0, rel=0.002)
    found = filament()
    middle = float(np.interp(SYMMETRY, found.concentrations, found.conductances(0.2))) * 1e6
    assert middle == pytest.approx(54.0, rel=0.002)


def test_trains_of_pulses() -> None:
    up, down = train(CMOPhysics(), 1.0, 20), train(CMOPhysics(), -1.0, 20)
    assert up[:10] == pytest.approx(UP, rel=0.01)
    assert up[20] == pytest.approx(87.9, rel=0.01)
    assert down[:7] == pytest.approx(DOWN, rel=0.01)
    assert down[20] == pytest.approx(34.7, rel=0.01)


def slow_point(c: float, voltage: float) -> tuple[float, float, float]:
    """Return current, temperature and field, by lowering the guess of the current until the dome passes as much."""
    a, barrier = max(2e-9, 3.6369e-9 - 3.0738e-35 * c), 1.275579e-20 - 3.69733e-47 * c
    low, high = 0.0, abs(voltage) / 223.22
    while high - low > 1e-14:
        current = (low + high) / 2
        temperature = 293.0 + 1.4e6 * abs(voltage) * current
        field = (abs(voltage) - current * 223.22) / 12e-9
        front = math.pi * 11e-9**2 * 1.44 * Q * c * a * 2e13
        passed = front * math.exp(-barrier / (K * temperature)) * 2 * math.sinh(Q * field * a / (2 * K * temperature))
        low, high = (current, high) if passed > current else (low, current)
    return current, temperature, math.copysign(field, voltage)


@pytest.mark.parametrize("voltage", [1.35, -1.3])
@pytest.mark.parametrize("start", [7e24, SYMMETRY, 3.0e25, 3.77e25])
def test_a_pulse_is_the_equation_integrated_in_time(voltage: float, start: float) -> None:
    """Forty Runge-Kutta steps of the published rate."""

    def rate(c: float) -> float:
        _, temperature, field = slow_point(c, voltage)
        barrier = 1.499179e-19 + 2.288824e-45 * c if voltage >= 0 else 1.18 * Q
        hop = math.exp(-barrier / (K * temperature)) * 2 * math.sinh(2 * Q * field * 1e-9 / (2 * K * temperature))
        return c / 12e-9 * 1e-9 * 4e12 * hop * (1 - c / 1e28) ** 10

    c, h = start, 1e-6 / 40
    for _ in range(40):
        first = rate(c)
        second = rate(c + h / 2 * first)
        third = rate(c + h / 2 * second)
        c += h / 6 * (first + 2 * second + 2 * third + rate(c + h * third))
        c = min(max(c, 7e24), 3.77e25)
    found = filament()
    assert float(np.interp(start, found.concentrations, found.after(voltage, 1e-6))) == pytest.approx(c, rel=1e-4)


def test_temperatures_at_the_ends_of_the_trains() -> None:
    assert slow_point(3.77e25, 1.35)[1] == pytest.approx(930, abs=2)
    assert float(filament().operating_point(1.35)[1][-1]) == pytest.approx(slow_point(3.77e25, 1.35)[1], rel=1e-9)
    # After 20 pulses down, at 34.7 uS.
    found = filament()
    c = float(np.interp(34.7e-6, found.conductances(0.2), found.concentrations))
    assert slow_point(c, -1.3)[1] == pytest.approx(746, abs=3)


def test_the_table_is_fine_enough() -> None:
    coarse, fine = (train(CMOPhysics(nodes=nodes), 1.0, 20) for nodes in (128, 1001))
    assert coarse == pytest.approx(fine, rel=5e-4)


def test_pulses_twice_as_wide_are_two_pulses() -> None:
    """The state is the concentration alone, so time adds up."""
    one, two = train(CMOPhysics(nodes=1001), 1.0, 8), train(CMOPhysics(nodes=1001, pulse_width=2e-6), 1.0, 4)
    assert one[::2] == pytest.approx(two, rel=1e-3)


def test_spreads_and_noise() -> None:
    device = CMOPhysics(dw_min_dtod=0.2, dw_min_std=0.5, w_max_dtod=0.05)
    array = array_of(device, 100, 50)
    assert float((array.cell()["dw_up"] / array.cell()["dw_down"]).std()) < 1e-5
    assert float(array.cell()["w_max"].std()) == pytest.approx(0.05, rel=0.1)
    # Midway one pulse up moves by the curve there, times 1 + 0.5 xi; dw_min is the mean of both ways.
    still = array_of(CMOPhysics(dw_min_std=0.5), 100, 100)
    still.set_weights(torch.zeros(100, 100), Stream(torch.tensor(1)))
    still.pulse(-torch.ones(1, 100), torch.ones(1, 100), 1.0, ONE_PULSE, Stream(torch.tensor(1), torch.tensor([0])))
    moved = still.weights().double()
    assert float(moved.std() / moved.mean()) == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"c_hrs": 4e25}, r"c_hrs = 4e\+25 must be below c_lrs = 3.77e\+25"),
        ({"v_set": 0.1, "v_reset": 0.1}, "which is nothing: raise the voltages or the width"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CMOPhysics(**settings)
