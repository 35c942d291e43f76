"""Crossbars of nonlinear cells against a root finder on the nodes of the network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve import ConvergenceError, Cubic, Wires, crossbar_solve, newton, power
from tests.kernels.test_crossbar_solve import nodal, wires_of
from tests.oracle.crossbar import Array

KERNELS = ("reference", "numba")


class Sinh:
    """I = (g / b) sinh(b V), with conductance g at small voltages."""

    def __init__(self, b: float) -> None:
        self.b = b

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return g / self.b * (self.b * v).sinh()

    def slope(self, v: Tensor, g: Tensor) -> Tensor:
        return g * (self.b * v).cosh()


def cells(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(11)
    g = 1e-4 * torch.rand((rows, columns), generator=generator, dtype=torch.float64)
    third = 1e-3 * torch.rand((rows, columns), generator=generator, dtype=torch.float64)
    return g, third, 0.8 * torch.rand((3, rows), generator=generator, dtype=torch.float64) - 0.4


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("ohm", "access"), [((20.0, 20.0, 10.0, 10.0), 0.0), ((2e3, 1e3, 500.0, 300.0), 0.0), ((100.0, 50.0, 10.0, 30.0), 3e3)]
)
@pytest.mark.parametrize("mode", [("single", "single"), ("double", "single"), ("double", "double")])
def test_cubic_cells_are_those_of_a_root_finder(mode: tuple[str, str], ohm: tuple[float, ...], access: float, kernel: str) -> None:
    g, third, v = cells(5, 4)
    found = crossbar_solve(g, v, wires_of(ohm, mode, access), iv=Cubic(third), v_bit=torch.full((4,), 0.05), kernel=kernel, rtol=1e-11)

    def current(across: Array, g: Array) -> Array:
        return g * across + third.numpy() * across**3

    for p in range(3):
        expected = nodal(g, v[p], torch.full((4,), 0.05).double(), ohm, mode, access).solve(current)
        for name in ("output", "cell_voltage", "cell_current", "word_voltage", "bit_voltage"):
            own = getattr(found, name)[p].numpy()
            np.testing.assert_allclose(own, expected[name], rtol=1e-7, atol=1e-8 * np.abs(expected[name]).max(), err_msg=name)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_cell_of_any_characteristic(kernel: str) -> None:
    """The voltage that is left for the cell solves a scalar equation."""
    g, b, r = 1e-3, 8.0, 400.0
    wires = Wires(r_source=150.0, r_sense=250.0)
    found = crossbar_solve(
        torch.tensor([[g]], dtype=torch.float64), torch.tensor([[1.5]], dtype=torch.float64), wires, iv=Sinh(b), kernel=kernel
    )
    low, high = 0.0, 1.5
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if middle + r * g / b * math.sinh(b * middle) < 1.5 else (low, middle)
    assert float(found.cell_voltage) == pytest.approx(low, rel=1e-8)
    assert float(found.output) == pytest.approx((1.5 - low) / r, rel=1e-8)


def test_a_proportional_characteristic_is_a_resistor() -> None:
    g, third, v = cells(12, 9)
    wires = Wires(200.0, 300.0, 10.0, 10.0, "double", "single", 500.0)
    bent, straight = crossbar_solve(g, v, wires, iv=Cubic(0 * third)), crossbar_solve(g, v, wires)
    assert torch.allclose(bent.output, straight.output, rtol=1e-7)
    assert torch.allclose(bent.cell_voltage, straight.cell_voltage, rtol=1e-6)


def test_energy_is_conserved_in_a_batch_of_nonlinear_crossbars() -> None:
    g, third, v = cells(16, 16)
    wires = Wires(300.0, 300.0, 50.0, 50.0, "double", "double", 800.0)
    found = crossbar_solve(torch.stack([g, g.T.contiguous()]), v, wires, iv=Cubic(third), v_bit=torch.full((16,), -0.02))
    parts = power(found)
    assert parts.cells.shape == (2, 3)
    assert torch.allclose(parts.delivered, parts.cells + parts.access + parts.word_lines + parts.bit_lines, rtol=1e-7)


def test_steep_cells_need_the_line_search() -> None:
    """Full steps of Newton's method on a hyperbolic sine of thirty thermal voltages leave for infinity."""
    g, _, v = cells(6, 6)
    found = crossbar_solve(g, 5 * v, Wires(100.0, 100.0, 10.0, 10.0), iv=Sinh(12.0))
    loops = 5 * v[..., None] - found.cell_voltage - (5 * v[..., None] - found.word_voltage) - found.bit_voltage
    assert float(loops.abs().max()) < 1e-8
    assert torch.allclose(found.cell_current, Sinh(12.0).current(found.cell_voltage, g))


def test_a_guess_saves_newton_steps() -> None:
    g, third, v = cells(10, 10)
    wires = Wires(200.0, 200.0, 10.0, 10.0)
    first = crossbar_solve(g, v, wires, iv=Cubic(third))
    again = crossbar_solve(g, v, wires, iv=Cubic(third), guess=first)
    assert int(again.iterations.max()) == 0
    assert int(first.iterations.max()) > 1
    assert torch.equal(again.output, first.output)


class Folded(Sinh):
    """A characteristic with a falling stretch beyond 0.1 V."""

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return g * (v - 30 * v**3)

    def slope(self, v: Tensor, g: Tensor) -> Tensor:
        return g * (1 - 90 * v**2)


class Wrong(Sinh):
    """A slope of the wrong sign in disguise."""

    def slope(self, v: Tensor, g: Tensor) -> Tensor:
        return 1e-12 * g


def test_falling_characteristics_are_refused() -> None:
    g, third, v = cells(3, 3)
    with pytest.raises(ValueError, match=r"the current of cell \[0, \d, \d\] has slope -.* S at .* V: .* must not fall with the voltage"):
        crossbar_solve(g, v, Wires(r_word=1.0), iv=Folded(1.0))
    with pytest.raises(ValueError, match="must be finite"):
        crossbar_solve(g, v, Wires(r_word=1.0), iv=Cubic(torch.full_like(third, math.nan)))


def test_not_to_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    g, third, v = cells(3, 3)
    wires = Wires(1e5, 1e5, 1e5, 1e5)
    with pytest.raises(ConvergenceError, match=r"did not find the currents of \d inputs after \d+ steps, residual .*derivative of current"):
        crossbar_solve(g, 5 * v, wires, iv=Wrong(20.0))
    monkeypatch.setattr(newton, "_STEPS", 1)
    with pytest.raises(ConvergenceError, match=r"after 1 steps, residual .*, in so many steps"):
        crossbar_solve(g, v, wires, iv=Cubic(third))


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty(shape: tuple[int, int, int]) -> None:
    inputs, rows, columns = shape
    found = crossbar_solve(torch.ones(rows, columns), torch.ones(inputs, rows), Wires(r_word=1.0), iv=Sinh(1.0))
    assert found.output.shape == (inputs, columns)
