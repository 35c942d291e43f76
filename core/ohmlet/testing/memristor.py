"""What every memristor promises beyond a device: a law that rises and is differentiated right, and one physics for pulses and voltages."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ohmlet.cells.array import fabricated
from ohmlet.errors import ConfigError
from ohmlet.interfaces.memristor import Memristor
from ohmlet.testing.device import OUT, DeviceTests
from ohmlet.testing.expect import expect, finite, identical
from ohmlet.testing.streams import stream

__all__ = ["MemristorTests"]

STATES = 21
ONE_STEP = 2e-3
"""Largest difference, in weight, between one step and the same pulse as a voltage that is held."""


def cells_of(spec: Memristor) -> dict[str, Tensor]:
    """Return fabricated cells [OUT, STATES], float64."""
    return fabricated(spec, OUT, STATES, stream(), torch.zeros(1, dtype=torch.float64))[0]


def states(spec: Memristor) -> Tensor:
    """Return states [OUT, STATES] in S from one end of the window to the other."""
    return spec.conductance(torch.linspace(-0.98, 0.98, STATES, dtype=torch.float64).expand(OUT, -1).contiguous())


def readable(spec: Memristor) -> Tensor:
    """Return read voltages [V, 1, 1] of both signs."""
    most = min(spec.v_read_max, 1.0)
    return torch.linspace(-most, most, 13, dtype=torch.float64)[:, None, None]


class MemristorTests(DeviceTests):
    """Inherit it with a fixture `spec` that returns a memristor."""

    def test_weights_and_conductances_correspond(self, spec: Memristor) -> None:
        """The window is finite, and `weight` undoes `conductance` within it."""
        low, high = spec.window.g_min, spec.window.g_max
        expect(0 <= low < high < math.inf, f"the window is {low:g} to {high:g} uS: it must be finite, of conductances from 0 up")
        w = torch.linspace(-1, 1, STATES, dtype=torch.float64)
        off = float((spec.weight(spec.conductance(w)) - w).abs().max())
        expect(off < 1e-9, f"weight(conductance(w)) is off by {off:.3g}")

    def test_current_rises_with_the_voltage(self, spec: Memristor) -> None:
        """No current without a voltage, and a larger one at a larger voltage, as far as the law holds."""
        cell, g, v = cells_of(spec), states(spec), readable(spec)
        current = spec.current(v, g, cell)
        finite(current, "current")
        expect(bool((spec.current(0 * g, g, cell) == 0).all()), "current at 0 V is not 0")
        falls = int((current.diff(dim=0) <= 0).sum())
        expect(falls == 0, f"current does not rise with the voltage in {falls} places up to {float(v.max()):g} V: lower v_read_max")

    def test_slope_is_the_derivative_of_the_current(self, spec: Memristor) -> None:
        """`slope` is dI/dV, and the current's derivatives with respect to voltage and state are exact."""
        cell, g, v = cells_of(spec), states(spec), readable(spec)
        v = (v + 0 * g).requires_grad_()
        wanted = torch.autograd.grad(spec.current(v, g, cell).sum(), v)[0]
        off = float(((spec.slope(v.detach(), g, cell) - wanted).abs() / wanted.abs().max()).max())
        expect(off < 1e-9, f"slope differs from the derivative of current by {off:.3g} of the largest")
        ends = [each[:2, :3].clone().requires_grad_() for each in (v.detach()[1], g)]
        few = {name: value[:2, :3] for name, value in cell.items()}
        torch.autograd.gradcheck(lambda v, g: 1e6 * spec.current(v, 1e-6 * g, few), (ends[0], (1e6 * ends[1].detach()).requires_grad_()))

    def test_cubic_is_the_current(self, spec: Memristor) -> None:
        """Where `cubic` gives coefficients, A1 V + A3 V^3 is the current."""
        cell, g, v = cells_of(spec), states(spec), readable(spec)
        found = spec.cubic(g, cell)
        if found is not None:
            current, law = spec.current(v, g, cell), v * (found[0] + found[1] * v * v)
            off = float((current - law).abs().max() / current.abs().max())
            expect(off < 1e-9, f"A1 V + A3 V^3 differs from current by {off:.3g} of the largest")

    def test_programming_current_continues_the_law(self, spec: Memristor) -> None:
        """`write_current` is `current` within `v_read_max`, goes on from there without a jump, and `write_slope` is not negative."""
        cell, g, v = cells_of(spec), states(spec), readable(spec)
        identical(spec.write_current(v, g, cell), spec.current(v, g, cell), "write_current differs from current where the law holds")
        if math.isfinite(spec.v_read_max):
            edge = torch.full_like(g, spec.v_read_max)
            jump = (spec.write_current(edge * (1 + 1e-9), g, cell) - spec.write_current(edge, g, cell)).abs()
            expect(bool((jump <= 1e-6 * spec.current(edge, g, cell).abs()).all()), "write_current jumps at v_read_max")
        slope = spec.write_slope(3 * v, g, cell)
        expect(bool((slope >= 0).all()), "write_slope is negative: a crossbar of such cells has several states")

    def test_one_step_is_the_pulse_held(self, spec: Memristor) -> None:
        """One `step` up or down changes a cell as `applied` does with the voltage and the width of the write pulse."""
        cell, g = cells_of(spec), states(spec)
        w, params = spec.weight(g), spec.parameters()
        for up, pulse in ((True, spec.set_pulse), (False, spec.reset_pulse)):
            v = torch.full_like(g, pulse.volts)
            stepped = spec.answer(w, torch.full_like(g, up, dtype=torch.bool), params, cell, spec.draws(w, v, None))
            held = spec.weight(spec.applied(g, v, pulse.seconds, cell))
            off = float((stepped - held).abs().max())
            expect(off <= ONE_STEP, f"a pulse {'up' if up else 'down'} differs by {off:.3g} in weight from {pulse.volts:g} V held")

    def test_set_raises_and_reset_lowers(self, spec: Memristor) -> None:
        """The set pulse has the sign of `polarity` and raises conductances on average; the reset pulse does the opposite."""
        cell, g = cells_of(spec), states(spec)
        for name, pulse, sign in (("set", spec.set_pulse, 1), ("reset", spec.reset_pulse, -1)):
            expect(pulse.volts * spec.polarity * sign > 0, f"the {name} pulse of {pulse.volts:g} V does not fit polarity {spec.polarity}")
            moved = float((spec.applied(g, torch.full_like(g, pulse.volts), pulse.seconds, cell) - g).mean()) * sign
            expect(moved > 0, f"the {name} pulse changes conductances by {sign * moved:.3g} S on average")

    def test_nothing_moves_without_a_voltage(self, spec: Memristor) -> None:
        """0 V leaves every state as it is, among cells that do move as well."""
        cell, g = cells_of(spec), states(spec)
        v = torch.zeros_like(g)
        v[:, ::2] = spec.set_pulse.volts
        after = spec.applied(g, v, spec.set_pulse.seconds, cell, stream())
        off = float((after - g)[:, 1::2].abs().max() / g.max())
        expect(off < 1e-12, f"cells at 0 V moved by {off:.3g} of the largest conductance")

    def test_voltages_are_whole_arrays(self, spec: Memristor) -> None:
        """Cells of one array that see different voltages answer as each would alone; states, cells and voltages stay as they are."""
        cell, g = cells_of(spec), states(spec)
        raised = (torch.arange(STATES) % 3 == 0).expand_as(g)
        v = torch.full_like(g, spec.reset_pulse.volts).masked_fill(raised, spec.set_pulse.volts)
        kept = [each.clone() for each in (g, v, *cell.values())]
        seconds = min(spec.set_pulse.seconds, spec.reset_pulse.seconds)
        together = spec.applied(g, v, seconds, cell)
        apart = torch.where(
            raised,
            spec.applied(g, torch.full_like(g, spec.set_pulse.volts), seconds, cell),
            spec.applied(g, torch.full_like(g, spec.reset_pulse.volts), seconds, cell),
        )
        off = float((spec.weight(together) - spec.weight(apart)).abs().max())
        expect(off < 1e-6, f"a cell's answer depends on what others see, by {off:.3g} in weight")
        for before, after in zip(kept, (g, v, *cell.values()), strict=True):
            identical(after, before, "applied wrote into what it was given")

    def test_answers_draw_from_the_stream_only(self, spec: Memristor) -> None:
        """With a stream, the same event gives the same answer and another event another one, where pulses have a spread."""
        cell, g = cells_of(spec), states(spec)
        v = torch.full_like(g, spec.set_pulse.volts)
        one, again = (spec.applied(g, v, spec.set_pulse.seconds, cell, stream()) for _ in range(2))
        identical(again, one, "applied differs between two calls with the same stream")

    def test_what_is_not_covered_is_refused(self, spec: Memristor) -> None:
        """Voltages and times beyond what was fitted are refused with the range; NaN is refused by every model with a range."""
        cell, g = cells_of(spec), states(spec)
        for volts in spec.v_write_range:
            if math.isfinite(volts):
                self._refused(spec, g, 1.01 * volts, spec.set_pulse.seconds, cell, f"{volts:g}")
        for seconds in spec.write_seconds_range:
            if math.isfinite(seconds) and seconds > 0:
                beyond = seconds * (1.1 if seconds > spec.set_pulse.seconds else 0.9)
                self._refused(spec, g, spec.set_pulse.volts, beyond, cell, f"{seconds:g}")

    def _refused(self, spec: Memristor, g: Tensor, volts: float, seconds: float, cell: dict[str, Tensor], words: str) -> None:
        try:
            spec.applied(g, torch.full_like(g, volts), seconds, cell)
        except ConfigError as error:
            expect(words in str(error), f"the error does not state the limit {words}: {error}")
        else:
            raise AssertionError(f"{volts:g} V for {seconds:g} s lies outside of what the model states and was applied")
