"""The effective conductances of a crossbar: what a matrix can say of a circuit, and how far it is off."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.interfaces.memristor import Memristor
from ohmlet_tiles.circuit_cells import Cells, effective
from ohmlet_tiles.circuit_network import Network

__all__ = ["Fitted", "error", "fit"]


class Curve(NamedTuple):
    """The law of a typical device in the middle of its window, relative to its own conductance: the straight line within +-v_read."""

    device: Memristor
    sign: int
    conductance: float

    def __call__(self, v: Tensor) -> Tensor:
        """Return the voltages [..., P, rows] at which resistors pass what the device does at v."""
        middle = self.device.conductance(torch.zeros((1, 1), dtype=v.dtype, device=v.device))
        cell = {name: value.to(v) for name, value in self.device.typical().items()}
        return self.sign * self.device.current(self.sign * v, middle, cell) / self.conductance


def curve(device: Memristor, sign: int, v_read: float) -> Curve:
    """Return the curve of a device for inputs up to v_read [V]; with sign -1 as seen from the bit lines."""
    middle = torch.tensor([(device.window.g_min + device.window.g_max) / 2], dtype=torch.float64)
    return Curve(device, sign, float(effective(device, middle, v_read)))


class Fitted(NamedTuple):
    """A crossbar as one matrix, behind the curve of each input where cells are nonlinear."""

    matrix: Tensor
    """Effective conductances [..., rows, columns] in S: a bit line's current is the sum over word lines of matrix times voltage."""
    variance: Tensor | None
    """Of the bit lines' currents by thermal noise, [..., 1, columns] in A^2."""
    curve: Curve | None = None

    def currents(self, v: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the bit lines' currents [..., P, columns] for voltages [..., P, rows], and their variance."""
        return (v if self.curve is None else self.curve(v)) @ self.matrix, self.variance


def fit(network: Network, v: Tensor, v_read: float) -> Fitted:
    """Return the matrix of a crossbar for use around the operating points that inputs v [..., P, rows] up to v_read put its cells at.

    Linear cells superpose, and v does not matter. Others become resistors G = sum_p I_p V_p / sum_p f(V_p) V_p with the currents and
    voltages of the exact solutions and the curve f of a typical device, through which inputs go. Without wires that is exact for laws
    that differ between cells by a factor. Currents are differentiated at the voltages that were found.
    """
    conductance, law = network.cells.law()
    if law is None:
        zero = torch.zeros_like(conductance).unsqueeze(-3)
        return Fitted(network.transfer(), network.cells.variance(zero))
    device = network.cells.device
    assert device is not None
    with torch.no_grad():
        over = network.solution(v).cell_voltage
        bent = curve(device, network.cells.sign, v_read)
        power = (bent(over) * over).sum(-3)
        variance = network.cells.variance(over)
    chord = (law.current(over, conductance.unsqueeze(-3)) * over).sum(-3) / torch.where(power > 0, power, 1.0)
    at_rest = law.slope(torch.zeros_like(over[..., :1, :, :]), conductance.unsqueeze(-3)).squeeze(-3)
    linear = network._replace(cells=Cells(torch.where(power > 0, chord, at_rest), None, {}, None))
    return Fitted(linear.transfer(), None if variance is None else variance.mean(-2, keepdim=True), bent)


def error(network: Network, fitted: Fitted, v: Tensor, summed: Callable[[Tensor], Tensor]) -> float:
    """Return the largest error of a fitted matrix over all crossbars, relative L2 over inputs v [..., P, rows] and what `summed` makes."""
    with torch.no_grad():
        exact, found = summed(network.solution(v).output), summed(fitted.currents(v)[0])
        size = exact.flatten(-2).norm(dim=-1)
        off = (found - exact).flatten(-2).norm(dim=-1)
        return float(torch.where(size > 0, off / torch.where(size > 0, size, 1.0), 0.0).max()) if exact.numel() else 0.0
