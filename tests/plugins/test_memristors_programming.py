"""Programming crossbars of memristors: biasing schemes, disturb, wires, energy, tuning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet.cells.array import fabricated
from ohmlet.circuit import Bias, Tuning, biased, hold, open_loop, tune
from ohmlet.errors import ConfigError
from ohmlet.interfaces.memristor import Memristor
from ohmlet_devices.iv_static import CubicIV
from ohmlet_devices.metal_oxide import MetalOxide
from ohmlet_devices.vteam import VTEAM
from ohmlet_kernels.crossbar_solve import Wires
from ohmlet_kernels.noise import Stream

SOLID: dict[str, Any] = {"static_dtod": 0.0, "dynamic_dtod": 0.0}


def crossbar(device: Memristor, rows: int, columns: int, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """Return states over the middle of the window and cells, float64."""
    cell, _ = fabricated(device, rows, columns, Stream(torch.tensor(seed)), torch.zeros(1, dtype=torch.float64))
    w = torch.linspace(-0.8, 0.8, rows * columns, dtype=torch.float64).reshape(rows, columns)
    return device.conductance(w), cell


@pytest.mark.parametrize(("scheme", "on_line", "off_line"), [("v_half", (0.5, 0.5), 0.0), ("v_third", (1 / 3, 1 / 3), -1 / 3)])
@pytest.mark.parametrize("volts", [0.9, -1.2])
def test_schemes_put_their_fractions_across_the_cells(scheme: str, on_line: tuple[float, float], off_line: float, volts: float) -> None:
    bias = biased(scheme, 4, 1, torch.tensor([0.0, volts, volts, 0.0], dtype=torch.float64))
    across = (bias.word[:, None] - bias.bit[None]) / volts
    wanted = np.full((4, 4), off_line)
    wanted[1], wanted[:, 1:3] = on_line[0], on_line[1]
    wanted[1, 1:3] = 1.0
    np.testing.assert_allclose(across, wanted, atol=1e-12)


def test_a_transistor_keeps_all_other_cells_at_zero() -> None:
    device = VTEAM()
    g, cell = crossbar(device, 3, 4)
    written = hold(device, g, cell, biased("one_transistor", 3, 2, torch.tensor([0.0, 0.5, 0.3, 0.0])), 2e-10)
    np.testing.assert_allclose(written.voltage[2], [0.0, 0.5, 0.3, 0.0], atol=1e-7)
    assert not written.voltage[:2].any()
    assert torch.equal(written.g[:2], g[:2])
    assert bool((written.g[2, 1:3] < g[2, 1:3]).all())


def test_several_word_lines_give_the_biases_of_each() -> None:
    volts = torch.tensor([[0.0, 1.0, 0.5], [0.9, 0.0, 0.0]], dtype=torch.float64)
    for scheme in ("v_half", "v_third", "one_transistor"):
        together = biased(scheme, 5, torch.tensor([3, 1]), volts)
        for number, row in enumerate((3, 1)):
            alone = biased(scheme, 5, row, volts[number])
            for whole, part in zip(together, alone, strict=True):
                assert (whole is None) == (part is None)
            assert whole is None or part is None or torch.equal(whole[number], part)


def test_half_selected_cells_are_disturbed_as_their_voltage_says() -> None:
    # VTEAM with a threshold of 0.02 V: half of 0.5 V moves what shares a line, as 0.25 V alone would; nothing else moves.
    device = VTEAM()
    g, cell = crossbar(device, 3, 4)
    written = hold(device, g, cell, biased("v_half", 3, 0, torch.tensor([0.5, 0.0, 0.0, 0.0], dtype=torch.float64)), 2e-10)
    half = device.applied(g, torch.full_like(g, 0.25), 2e-10, cell)
    full = device.applied(g, torch.full_like(g, 0.5), 2e-10, cell)
    assert torch.equal(written.g[0, 1:], half[0, 1:])
    assert torch.equal(written.g[1:, 0], half[1:, 0])
    assert torch.equal(written.g[1:, 1:], g[1:, 1:])
    assert float(written.g[0, 0]) == float(full[0, 0])


def test_the_energy_of_a_pulse_is_that_of_every_cell_and_wire() -> None:
    device = CubicIV(third=0.4, v_read_max=2.0, r_on=500.0, r_off=5e4)
    g, cell = crossbar(device, 5, 6)
    bias = biased("v_third", 5, 2, torch.tensor([1.2, 0.0, 1.0, 0.0, 0.0, 1.2], dtype=torch.float64))
    plain = hold(device, g, cell, bias, 1e-6)
    v = bias.word[:, None] - bias.bit[None]
    np.testing.assert_allclose(float(plain.energy), float((v * g * (v + 0.4 * v**3)).sum()) * 1e-6, rtol=1e-12)
    wired = hold(device, g, cell, bias, 1e-6, Wires(2.0, 3.0, 5.0, 7.0, "double", "single", 10.0))
    used = wired.power
    parts = used.cells + used.access + used.word_lines + used.bit_lines
    np.testing.assert_allclose(float(used.delivered), float(parts), rtol=1e-5)
    current = device.write_current(wired.voltage, g, cell)
    np.testing.assert_allclose(float(used.cells), float((wired.voltage * current).sum()), rtol=1e-6)
    np.testing.assert_allclose(float(used.access), 10.0 * float((current * current).sum()), rtol=1e-5)
    # Each line's ends deliver what flows into its cells.
    delivered = (bias.word[:, None] * current).sum() - (bias.bit[None] * current).sum()
    np.testing.assert_allclose(float(wired.energy), float(delivered) * 1e-6, rtol=1e-5)


def test_wires_take_voltage_from_far_cells_and_vanish_with_their_resistance() -> None:
    device = MetalOxide(**SOLID)
    g, cell = crossbar(device, 6, 8)
    bias = biased("v_half", 6, 2, torch.full((8,), 1.1, dtype=torch.float64))
    ideal, nearly, real = (hold(device, g, cell, bias, 5e-4, Wires(r, r, r, r)) for r in (0.0, 1e-6, 20.0))
    np.testing.assert_allclose(nearly.g, ideal.g, rtol=1e-6)
    seen = real.voltage[2]
    assert bool((seen.diff() < 0).all())
    assert float(seen[0]) < 1.1
    assert bool((real.g[2] < ideal.g[2]).all())
    assert bool((real.g[2] > g[2]).all())


def test_voltages_that_cells_cannot_take_are_refused() -> None:
    device = MetalOxide(**SOLID)
    g, cell = crossbar(device, 3, 3)
    with pytest.raises(ConfigError, match=r"-1\.5 to 1\.15 V, and 1\.4 V is applied"):
        hold(device, g, cell, biased("v_half", 3, 0, torch.tensor([1.4, 0.0, 0.0])), 5e-4)
    with pytest.raises(ConfigError, match="both signs"):
        biased("v_half", 3, 0, torch.tensor([1.0, -1.0, 0.0]))
    with pytest.raises(ConfigError, match="no biasing scheme 'half'"):
        biased("half", 3, 0, torch.tensor([1.0]))
    with pytest.raises(ConfigError, match="no word line 3 in a crossbar of 3"):
        biased("v_half", 3, 3, torch.tensor([1.0]))


FINE: dict[str, Any] = {"set_voltage": 0.85, "reset_voltage": -0.9, "voltage_step": 0.01, "reset_width": 5e-3, "tolerance": 0.03}


def targets(g: Tensor) -> Tensor:
    return 1e-6 * torch.linspace(40.0, 200.0, g.numel(), dtype=torch.float64).flip(0).reshape(g.shape)


def test_closed_loop_brings_cells_to_what_a_read_sees() -> None:
    device = MetalOxide(dynamic_dtod=0.2)
    g, cell = crossbar(device, 6, 5)
    found = tune(device, g, targets(g), cell, Tuning(**FINE))
    v = torch.full_like(g, 0.1)
    seen = device.current(v, found.g, cell) / v
    np.testing.assert_allclose(found.read, seen, rtol=1e-12)
    assert bool(((seen - found.target).abs() <= 0.03 * found.target).all())
    assert bool(found.accepted.all())
    errors = [each.error_uS for each in found.history]
    assert errors[-1] < 0.1 * errors[0]
    assert found.history[-1].pending == 0
    assert int(found.pulses.max()) == len(found.history) - 1
    assert found.seconds > 0
    assert float(found.disturb.max()) == 0


def test_pulsing_lines_at_once_is_the_same_on_ideal_wires() -> None:
    device = MetalOxide(dynamic_dtod=0.2)
    g, cell = crossbar(device, 4, 5)
    once, turn = (tune(device, g, targets(g), cell, Tuning(**FINE, max_sweeps=12), wires) for wires in (Wires(), Wires(r_word=1e-9)))
    np.testing.assert_allclose(once.g, turn.g, rtol=1e-6)
    assert torch.equal(once.pulses, turn.pulses)
    # Half-selected cells count at their states before or within a sweep.
    np.testing.assert_allclose(float(once.energy), float(turn.energy), rtol=0.02)


def test_lines_at_once_are_close_with_wires_and_refused_where_others_move() -> None:
    device = MetalOxide(dynamic_dtod=0.2)
    g, cell = crossbar(device, 4, 5)
    wires = Wires(5.0, 5.0, 5.0, 5.0)
    once, turn = (tune(device, g, targets(g), cell, Tuning(**FINE, max_sweeps=6, order=order), wires) for order in ("at_once", "in_turn"))
    np.testing.assert_allclose(once.g, turn.g, rtol=0.01)
    disturbed = VTEAM()
    g, cell = crossbar(disturbed, 3, 3)
    with pytest.raises(ConfigError, match=r"moves at the 0\.25 V that they see"):
        tune(disturbed, g, 0 * g + 2e-3, cell, Tuning(order="at_once"))


def test_disturb_is_accounted_for_and_a_transistor_ends_it() -> None:
    device = VTEAM(v_off=0.1)
    g, cell = crossbar(device, 4, 4)
    target = g.flip(0)
    pulses: dict[str, Any] = {"set_voltage": -0.25, "reset_voltage": 0.6, "reset_width": 1e-8, "tolerance": 0.1}
    found = {scheme: tune(device, g, target, cell, Tuning(scheme=scheme, **pulses)) for scheme in ("v_half", "one_transistor")}
    assert float(found["v_half"].disturb.mean()) > 1e-6
    assert float(found["one_transistor"].disturb.max()) == 0
    assert bool(found["one_transistor"].accepted.all())
    assert int(found["v_half"].pulses.sum()) > int(found["one_transistor"].pulses.sum())


def test_open_loop_meets_targets_with_the_devices_that_it_was_planned_for() -> None:
    device = MetalOxide(**SOLID)
    g, cell = crossbar(device, 5, 4)
    # A plan ends at the nearest of the steps, half of one away at most.
    tuning = Tuning(set_voltage=0.95, reset_voltage=-1.2, tolerance_uS=3.0, max_sweeps=200)
    blind = open_loop(device, g, targets(g), cell, tuning)
    assert float((blind.read - blind.target).abs().max()) < 3e-6
    spread = MetalOxide(static_dtod=0.0, dynamic_dtod=0.3)
    g, cell = crossbar(spread, 5, 4)
    off = open_loop(spread, g, targets(g), cell, tuning)
    closed = tune(spread, g, targets(g), cell, Tuning(**FINE))
    assert float((off.read - off.target).abs().mean()) > 2 * float((closed.read - closed.target).abs().mean())
    assert torch.equal(off.pulses, blind.pulses)


def test_several_crossbars_are_tuned_as_each_alone() -> None:
    device = MetalOxide(dynamic_dtod=0.2)
    (one, cell), (other, others) = crossbar(device, 3, 4, 0), crossbar(device, 3, 4, 1)
    both = {name: torch.stack((cell[name], others[name])) for name in cell}
    wires = Wires(5.0, 5.0)
    together = tune(device, torch.stack((one, other)), targets(one), both, Tuning(**FINE, max_sweeps=8), wires)
    for number, (g, its) in enumerate(((one, cell), (other, others))):
        alone = tune(device, g, targets(one), its, Tuning(**FINE, max_sweeps=8), wires)
        np.testing.assert_allclose(together.g[number], alone.g, rtol=1e-5)
        np.testing.assert_allclose(float(together.energy[number]), float(alone.energy), rtol=1e-4)


def test_reads_have_the_devices_noise_where_a_bandwidth_is_given() -> None:
    device = MetalOxide(dynamic_dtod=0.2)
    g, cell = crossbar(device, 4, 4)
    tuning = Tuning(**FINE, read_bandwidth=1e8, max_sweeps=20)
    noisy, again, other = (tune(device, g, targets(g), cell, tuning, noise=Stream(torch.tensor(seed))) for seed in (1, 1, 2))
    assert torch.equal(noisy.g, again.g)
    assert not torch.equal(noisy.g, other.g)
    with pytest.raises(ConfigError, match="needs a stream of noise"):
        tune(device, g, targets(g), cell, tuning)
    g, cell = crossbar(VTEAM(), 2, 2)
    with pytest.raises(ConfigError, match="VTEAM has no read noise"):
        tune(VTEAM(), g, g, cell, tuning, noise=Stream(torch.tensor(1)))


@pytest.mark.parametrize(("settings", "words"), [
    ({"tolerance": 0.0}, "'tolerance' and 'tolerance_uS' are both 0"),
    ({"set_voltage": -1.0}, "set_voltage = -1 V has the wrong sign for MetalOxide"),
    ({"v_read": 0.5}, r"up to 0\.4 V, and 0\.5 V"),
])  # fmt: skip
def test_settings_that_tune_nothing_are_refused(settings: dict[str, Any], words: str) -> None:
    device = MetalOxide(**SOLID)
    g, cell = crossbar(device, 2, 2)
    with pytest.raises(ConfigError, match=words):
        tune(device, g, 0 * g + 1e-4, cell, Tuning(**settings))


def test_targets_in_other_units_are_refused() -> None:
    device = MetalOxide(**SOLID)
    g, cell = crossbar(device, 2, 2)
    with pytest.raises(ConfigError, match=r"4 targets lie outside of the window of MetalOxide, 3\.16 to 316 uS, such as 1e\+08 uS"):
        tune(device, g, 1e6 * g * 0 + 100.0, cell)


def test_lines_may_be_biased_by_hand() -> None:
    device = MetalOxide(**SOLID)
    g, cell = crossbar(device, 2, 3)
    bias = Bias(torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([0.0, 0.1, 1.0], dtype=torch.float64))
    written = hold(device, g, cell, bias, 5e-4)
    np.testing.assert_allclose(written.voltage, [[1.0, 0.9, 0.0], [0.0, -0.1, -1.0]], atol=1e-12)
    assert float(written.g[0, 0]) > float(g[0, 0])
    assert float(written.g[1, 2]) < float(g[1, 2])
    assert float(written.g[1, 1]) == float(g[1, 1])
