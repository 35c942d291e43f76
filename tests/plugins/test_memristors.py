"""Memristor models against printed values, analytic solutions and a general integrator."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ohmlet
from ohmlet.cells.array import fabricated
from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.memristor import Memristor
from ohmlet.optim import AnalogSGD
from ohmlet.testing import MemristorTests
from ohmlet_devices.linear_ion_drift import LinearIonDrift
from ohmlet_devices.metal_oxide import MetalOxide
from ohmlet_kernels.noise import Stream
from tests.oracle import memristors as oracle

ALIKE: dict[str, Any] = {"static_dtod": 0.0, "dynamic_dtod": 0.0}

KIT = [
    ("metal_oxide", {"range_policy": "stuck", "forward_only": True}),
    ("vteam", {"resistance": "exponential", "rate_dtod": 0.2, "rate_std": 0.1}),
    ("linear_ion_drift", {"window_function": "biolek", "p": 2.0, "rate_dtod": 0.2}),
    ("stanford_pku", {"rate_dtod": 0.2, "rate_std": 0.1}),
    ("data_driven", {"rate_dtod": 0.2, "rate_std": 0.1}),
    ("data_driven_2021", {"rate_dtod": 0.2, "rate_std": 0.1}),
    ("cubic_iv", {"third": 0.5, "rate_std": 0.1}),
]


def memristor(name: str, **settings: Any) -> Memristor:
    found = structure({"type": name, **settings}, UnitCell)
    assert isinstance(found, Memristor)
    return found


@pytest.mark.parametrize(("name", "settings"), KIT, ids=[f"{name}-{number}" for number, (name, _) in enumerate(KIT)])
class TestMemristors(MemristorTests):
    @pytest.fixture
    def spec(self, name: str, settings: dict[str, Any]) -> Memristor:
        return memristor(name, **settings)


def siemens(*uS: float) -> Tensor:
    return 1e-6 * torch.tensor([uS], dtype=torch.float64)


def held(device: Memristor, g: float, volts: float, seconds: float) -> float:
    state, voltage = (torch.tensor([[each]], dtype=torch.float64) for each in (g, volts))
    return float(device.applied(state, voltage, seconds, device.typical()))


def test_metal_oxide_static_law_has_the_printed_coefficients() -> None:
    """T4, the static values."""
    device = MetalOxide(temperature=313.15, **ALIKE)
    linear, third = device.cubic(siemens(10, 50, 100, 300), device.typical())
    np.testing.assert_allclose(1e6 * linear[0], [11.85, 50.93, 99.78, 295.18], rtol=1e-3)
    np.testing.assert_allclose(1e6 * third[0], [24.34, 87.37, 195.84, 959.5], rtol=1e-3)
    fitted = device.fitted(siemens(10, 50, 100, 300), device.typical(), torch.linspace(-0.2, 0.2, 50, dtype=torch.float64))
    np.testing.assert_allclose(1e6 * fitted[0], [12.46, 53.12, 104.67, 319.14], rtol=1e-3)


def test_a_straight_line_fitted_to_currents_has_the_stated_slope() -> None:
    device, v = MetalOxide(**ALIKE), torch.linspace(-0.3, 0.3, 31, dtype=torch.float64)
    current = device.current(v, siemens(120.0)[0], device.typical())[0].numpy()
    slope = np.linalg.lstsq(v[:, None].numpy(), current, rcond=None)[0][0]
    np.testing.assert_allclose(float(device.fitted(siemens(120.0), device.typical(), v)), slope, rtol=1e-12)


@pytest.mark.parametrize(
    ("volts", "seconds", "uS"),
    [
        (1.00, 5e-4, (66.963, 74.816, 84.632, 103.708, 137.424, 196.483)),
        (0.90, 5e-3, (71.171, 95.857, 122.925, 175.165, 290.151, 315.0)),
        (1.15, 5e-3, (107.025, 265.903, 315.0, 315.0, 315.0, 315.0)),
        (-1.10, 1e-2, (59.921, 47.287, 34.695, 23.721, 17.35, 16.12)),
        (-1.40, 1e-2, (47.749, 17.792, 15.765, 11.711, 9.66, 9.607)),
        (-1.00, 5e-4, (64.46, 62.301, 59.601, 55.147, 50.647, 42.996)),
    ],
)
def test_metal_oxide_pulse_trains_run_as_printed(volts: float, seconds: float, uS: tuple[float, ...]) -> None:
    """T4, the pulse trains."""
    device, g, found = MetalOxide(**ALIKE), siemens(65.0), []
    for pulse in range(1, 75):
        g = device.applied(g, torch.full_like(g, volts), seconds, device.typical())
        if pulse in (1, 5, 10, 20, 40, 74):
            found.append(1e6 * float(g))
    np.testing.assert_allclose(found, uS, atol=6e-4)


def test_metal_oxide_bins_hold_their_lower_border() -> None:
    device = MetalOxide(g_min_uS=3.16, **ALIKE)
    below, at, above = (held(device, g, 1.0, 5e-4) - g for g in (99.9999e-6, 100e-6, 100.0001e-6))
    assert math.isclose(at, above, rel_tol=1e-6)
    assert abs(below - at) > 0.05e-6


@pytest.mark.parametrize("policy", ["clamp", "stuck", "free"])
def test_metal_oxide_range_policies(policy: str) -> None:
    device = MetalOxide(range_policy=policy, **ALIKE)
    g = siemens(300.0)
    for _ in range(4):
        g = device.applied(g, torch.full_like(g, 1.15), 5e-3, device.typical())
    top = 1e6 * float(g)
    for _ in range(3):
        g = device.applied(g, torch.full_like(g, -1.4), 1e-2, device.typical())
    after = 1e6 * float(g)
    if policy == "clamp":
        assert math.isclose(top, 315.0, rel_tol=1e-9)
        assert after < 314
    elif policy == "stuck":
        assert math.isclose(top, 316.0, rel_tol=1e-9)
        assert math.isclose(after, 316.0, rel_tol=1e-9)
        assert bool(device.stuck(g))
    else:
        assert top > 400
        assert after < top


def test_metal_oxide_read_noise_is_thermal() -> None:
    # 4 k T f G of 50.93 uS at 313.15 K and 100 MHz, by hand: a current of about ten nanoamperes, not a hundred attoamperes.
    device = MetalOxide(**ALIKE)
    std = device.read_noise(torch.zeros(1, 1, dtype=torch.float64), siemens(50.0), device.typical(), 1e8)
    np.testing.assert_allclose(float(std), math.sqrt(4 * 1.380649e-23 * 313.15 * 1e8 * 50.934e-6), rtol=1e-5)
    assert 9e-9 < float(std) < 1e-8


def test_metal_oxide_currents_do_not_turn_round_whatever_the_deviation() -> None:
    device = MetalOxide()
    g = siemens(*np.linspace(3.17, 315, 60)).expand(81, -1)
    cell = {"xi": torch.linspace(-6, 6, 81, dtype=torch.float64)[:, None]}
    for volts in np.linspace(-0.4, 0.4, 17):
        assert bool((device.slope(torch.full_like(g, volts), g, cell) > 0).all())


def test_devices_of_metal_oxide_differ_in_the_law_and_apart_from_it_in_the_steps() -> None:
    device, g = MetalOxide(), siemens(65.0)
    typical = device.typical()
    one, other = ({**typical, name: torch.ones(1, 1, dtype=torch.float64)} for name in ("xi", "xi_dynamic"))
    v, pulse = torch.full_like(g, 0.2), torch.full_like(g, 1.0)
    assert float(device.current(v, g, one)) != float(device.current(v, g, typical)) == float(device.current(v, g, other))
    stepped = [float(device.applied(g, pulse, 5e-4, cell)) for cell in (typical, one, other)]
    assert stepped[0] == stepped[1] != stepped[2]


def test_vteam_moves_at_its_rate_and_stays_between_the_thresholds() -> None:
    """T14, VTEAM: a constant rate has an exact solution."""
    constants = {"k_on": -10.0, "k_off": 5e-4, "alpha_on": 3.0, "alpha_off": 1.0, "v_on": -0.2, "v_off": 0.02}
    device, d = memristor("vteam", **constants), 3e-9
    for volts, x in itertools.product((-0.3, -0.21, -0.1, 0.01, 0.1, 0.7), (0.1e-9, 1e-9, 2.5e-9)):
        seconds = 3e-10
        after = min(max(x + oracle.vteam_rate(volts, **constants) * seconds, 0.0), d)
        resistance = 50 + 950 * x / d
        assert math.isclose(1 / held(device, 1 / resistance, volts, seconds), 50 + 950 * after / d, rel_tol=1e-9)


def test_ion_drift_without_a_window_follows_the_charge() -> None:
    constants = {"r_on": 100.0, "r_off": 16e3, "mobility": 1e-14, "d": 10e-9}
    device = memristor("linear_ion_drift", window_function="none", **constants)
    for x, volts, seconds in ((0.1, 1.0, 0.2), (0.5, -1.0, 0.3), (0.9, 2.0, 0.002), (0.2, 0.6, 1e-4)):
        resistance = 100 * x + 16e3 * (1 - x)
        wanted = oracle.drift_charge(x, volts, seconds, **constants)
        assert math.isclose(1 / held(device, 1 / resistance, volts, seconds), 100 * wanted + 16e3 * (1 - wanted), rel_tol=1e-6)


def test_ion_drift_with_joglekars_window_takes_the_time_of_its_analytic_solution() -> None:
    """T14, linear ion drift with the window as its paper has it."""
    constants = {"r_on": 100.0, "r_off": 16e3, "mobility": 1e-14, "d": 10e-9}
    device = memristor("linear_ion_drift", window_function="joglekar", **constants)
    for x0, x, volts in ((0.1, 0.4, 1.0), (0.5, 0.95, 1.5), (0.8, 0.2, -1.0)):
        seconds = oracle.joglekar_time(x0, x, volts, **constants)
        found = 1 / held(device, 1 / (100 * x0 + 16e3 * (1 - x0)), volts, seconds)
        assert math.isclose(found, 100 * x + 16e3 * (1 - x), rel_tol=1e-6)


@pytest.mark.parametrize("window", ["joglekar", "biolek", "prodromakis"])
@pytest.mark.parametrize("volts", [1.0, -1.0])
def test_ion_drift_follows_its_equation_with_every_window(window: str, volts: float) -> None:
    constants = {"r_on": 100.0, "r_off": 16e3, "mobility": 1e-14, "d": 10e-9, "p": 2.0}
    device = memristor("linear_ion_drift", window_function=window, **constants)
    rate = oracle.ion_drift_rate(window, volts, **constants)
    for x, seconds in ((0.3, 0.2), (0.9, 0.05)):
        wanted = oracle.followed(rate, x, seconds, 0.0, 1.0)
        found = 1 / held(device, 1 / (100 * x + 16e3 * (1 - x)), volts, seconds)
        assert math.isclose(found, 100 * wanted + 16e3 * (1 - wanted), rel_tol=1e-5)


def test_windows_are_zero_where_their_papers_have_them_zero() -> None:
    def moves(window: str, g: float, volts: float) -> bool:
        return not math.isclose(held(LinearIonDrift(window_function=window), g, volts, 1e-3), g, rel_tol=1e-9)

    full, empty = 1 / 100, 1 / 16e3
    for window in ("joglekar", "prodromakis"):
        assert not moves(window, full, -1.0)
        assert not moves(window, empty, 1.0)
    assert moves("biolek", full, -1.0)
    assert moves("biolek", empty, 1.0)
    assert not moves("biolek", full, 1.0)


@pytest.mark.parametrize(("gap", "volts", "seconds"), [(1e-9, 1.4, 2e-8), (0.3e-9, -1.3, 1e-8), (0.5e-9, 1.25, 1e-9), (1.2e-9, -1.3, 1e-9)])
def test_stanford_pku_follows_its_gap(gap: float, volts: float, seconds: float) -> None:
    closed = 1e-3 * math.sinh(0.1 / 0.25) / 0.1
    ends = [0.25e-9 * math.log(closed * ohm) for ohm in (542.0, 218586.0)]
    wanted = oracle.followed(lambda at: oracle.stanford_rate(at, volts), gap, seconds, *ends)
    found = held(memristor("stanford_pku"), closed * math.exp(-gap / 0.25e-9), volts, seconds)
    assert math.isclose(found, closed * math.exp(-wanted / 0.25e-9), rel_tol=1e-4)
    assert not math.isclose(wanted, gap, rel_tol=1e-4)


def test_stanford_pku_current_and_state_belong_together() -> None:
    device = memristor("stanford_pku")
    g = siemens(5.0, 100.0, 1500.0)
    v = torch.full_like(g, 0.1)
    np.testing.assert_allclose((device.current(v, g, device.typical()) / v)[0], g[0], rtol=1e-12)
    state = torch.tensor([[1e-3 * math.exp(-2) * math.sinh(0.4) / 0.1]], dtype=torch.float64)
    found = float(device.current(torch.full_like(state, 0.3), state, device.typical()))
    assert math.isclose(found, 1e-3 * math.exp(-0.5e-9 / 0.25e-9) * math.sinh(0.3 / 0.25), rel_tol=1e-12)


@pytest.mark.parametrize(("name", "ohm", "volts", "seconds"), [
    ("data_driven", 2000.0, 0.5, 1e-4),
    ("data_driven", 9000.0, -1.1, 1e-2),
    ("data_driven", 9000.0, -0.3, 1e-2),
    ("data_driven_2021", 2800.0, 1.2, 1e-5),
    ("data_driven_2021", 1700.0, -1.4, 1e-5),
    ("data_driven_2021", 1700.0, 1.2, 1e-5),
])  # fmt: skip
def test_data_driven_models_follow_their_equations(name: str, ohm: float, volts: float, seconds: float) -> None:
    def rate(resistance: float) -> float:
        if name == "data_driven":
            if volts > 0:
                limit = 16719.0
                return 743.47 * math.expm1(6.51 * volts) * math.expm1(5.11e-4 * (limit - resistance)) if resistance < limit else 0.0
            limit = 29304.82557 + 23692.77225 * volts
            return -68012.28374 * math.expm1(0.31645 * -volts) * math.expm1(1.17e-3 * (resistance - limit)) if resistance > limit else 0.0
        limit = 2699.2336 - 672.930205 * volts if volts > 0 else 649.413746 - 1474.32358 * volts
        speed = 600.10075 * math.expm1(volts / -0.0212028) if volts > 0 else -34.5988399 * math.expm1(-volts / -0.05343997)
        return speed * (limit - resistance) ** 2 if (resistance > limit) == (volts > 0) else 0.0

    low, high = (1280.0, 17e3) if name == "data_driven" else (1600.0, 3000.0)
    wanted = oracle.followed(rate, ohm, seconds, low, high)
    assert math.isclose(1 / held(memristor(name), 1 / ohm, volts, seconds), wanted, rel_tol=1e-6)


def test_held_voltages_add_up_where_the_state_is_all_there_is() -> None:
    cases = (("vteam", 0.4, 4e-9), ("data_driven", 0.5, 2e-5), ("data_driven_2021", 1.4, 1e-6), ("cubic_iv", 1.0, 1e-5))
    for name, volts, seconds in cases:
        device = memristor(name)
        g = float(device.conductance(torch.tensor(0.3, dtype=torch.float64)))
        twice = held(device, held(device, g, volts, seconds / 2), volts, seconds / 2)
        assert math.isclose(held(device, g, volts, seconds), twice, rel_tol=1e-9)
        assert not math.isclose(twice, g, rel_tol=1e-3)


def test_polynomial_law_is_that_of_the_source_and_differs_with_the_sign() -> None:
    device, g = memristor("polynomial_iv"), 100e-6
    second = 1.388e-4 * -64 + 1.541e-3 * 16 + 5.711e-3 * -4 + 7.063e-3
    third = 8.871e-5 * 16 + 6.7919e-4 * -4 + 1.2968e-3
    for volts in (0.5, -0.5):
        found = float(device.current(torch.tensor([[volts]], dtype=torch.float64), torch.tensor([[g]], dtype=torch.float64), {}))
        assert math.isclose(found, g * volts + second * volts**2 + third * volts**3, rel_tol=1e-9)
    assert device.cubic(siemens(100.0), {}) is None


def test_rates_differ_from_device_to_device_and_from_pulse_to_pulse() -> None:
    device = memristor("vteam", rate_dtod=0.2, rate_std=0.1, resistance="exponential")
    cell, g = device.typical(), device.conductance(torch.zeros(200, 200, dtype=torch.float64))
    v, noise = torch.full_like(g, -0.22), Stream(torch.tensor(5))
    steps = device.weight(device.applied(g, v, 2e-11, cell, noise))
    relative = (steps / float(device.weight(device.applied(g[:1, :1], v[:1, :1], 2e-11, cell)))).log()
    assert abs(float(relative.std()) - 0.1) < 0.002
    assert abs(float(relative.mean())) < 0.003
    assert math.isclose(float(cell["rate"]), 1.0)


@pytest.mark.parametrize(("settings", "words"), [
    ({"type": "metal_oxide", "set_voltage": 1.3}, "-1.5 to 1.15 V, and 1.3 V is applied"),
    ({"type": "metal_oxide", "reset_width": 1.0}, "from 1e-07 to 0.1 s, and one lasts 1 s"),
    ({"type": "metal_oxide", "set_voltage": 0.7}, "not beyond the threshold of 0.8 V"),
    ({"type": "metal_oxide", "temperature": 40.0}, "'temperature' must be >= 300"),
    ({"type": "metal_oxide", "g_min_uS": 50.0, "g_max_uS": 40.0}, "must be below 'g_max_uS'"),
    ({"type": "vteam", "r_on": 2000.0}, "must be below 'g_max_uS'"),
    ({"type": "vteam", "set_voltage": -0.1}, "does not move a device"),
    ({"type": "linear_ion_drift", "set_width": 3e-3}, "too far for one step"),
    ({"type": "linear_ion_drift", "window_function": "none", "p": 2.0}, "p = 2 has no effect without a window_function"),
    ({"type": "linear_ion_drift", "j": 2.0}, "j = 2 has no effect with window_function joglekar"),
    ({"type": "cubic_iv", "v_read_max": 2.0}, "falls with the voltage above 1.15 V"),
    ({"type": "polynomial_iv", "third": [0.0, 0.0, -1.0]}, "falls with the voltage at"),
])  # fmt: skip
def test_settings_that_make_no_device_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(").replace(".", r"\.")):
        structure(settings, UnitCell)


def test_voltages_beyond_the_law_are_refused_with_its_range() -> None:
    device = MetalOxide()
    with pytest.raises(ConfigError, match=r"up to 0\.4 V, and 0\.5 V is to be read"):
        device.check_read(torch.tensor([0.1, -0.5]))
    with pytest.raises(ConfigError, match=r"from -1\.5 to 1\.15 V, and -1\.6 V is applied"):
        held(device, 65e-6, -1.6, 1e-3)
    assert held(MetalOxide(extrapolate=True), 65e-6, -1.6, 1e-3) < 65e-6


def test_a_pulse_that_cannot_be_followed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ohmlet_devices.switching.MOST_PARTS", 3)
    with pytest.raises(ConfigError, match="in 3 parts"):
        held(LinearIonDrift(), 1 / 8e3, 1.0, 0.2)


@pytest.mark.parametrize("name", ["metal_oxide", "stanford_pku"])
def test_a_layer_trains_on_memristors(name: str) -> None:
    torch.manual_seed(3)
    settings = (
        dict(ALIKE, reset_voltage=-1.2, range_policy="stuck") if name == "metal_oxide" else {"set_width": 5e-11, "reset_width": 5e-11}
    )
    model = torch.nn.Sequential(torch.nn.Linear(6, 2, bias=False))
    ohmlet.convert(model, {"tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": {"type": name, **settings}}}})
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    x = torch.rand(64, 6) - 0.5
    wanted, losses = x @ (0.4 * torch.rand(6, 2) - 0.2), []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), wanted)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("name", "settings", "off"), [
    ("metal_oxide", {"range_policy": "clamp"}, 1e-12),
    ("metal_oxide", {"range_policy": "stuck", "forward_only": True, "set_voltage": 1.15, "set_width": 5e-3}, 1e-12),
    ("metal_oxide", {"range_policy": "free", "reset_voltage": -1.5, "reset_width": 0.1, "g_min_uS": 10.0, "g_max_uS": 250.0}, 1e-12),
    ("vteam", {"rate_dtod": 0.3}, 1e-12),
    ("data_driven", {"rate_dtod": 0.3}, 1e-12),
    ("linear_ion_drift", {"rate_dtod": 0.3}, 1e-5),
    ("stanford_pku", {"rate_dtod": 0.3}, 1e-7),
])  # fmt: skip
def test_a_pulse_of_training_is_the_write_pulse_held(name: str, settings: dict[str, Any], off: float) -> None:
    device = memristor(name, **settings)
    cell, _ = fabricated(device, 40, 300, Stream(torch.tensor(2)), torch.zeros(1, dtype=torch.float64))
    w = device.placed(torch.linspace(-0.999, 0.999, 300, dtype=torch.float64).expand(40, -1), cell)
    for up, pulse in ((True, device.set_pulse), (False, device.reset_pulse)):
        v = torch.full_like(w, pulse.volts)
        stepped = device.answer(w, torch.full_like(w, up, dtype=torch.bool), device.parameters(), cell, device.draws(w, v, None))
        held_there = device.weight(device.applied(device.conductance(w), v, pulse.seconds, cell))
        assert float((stepped - held_there).abs().max()) < off
