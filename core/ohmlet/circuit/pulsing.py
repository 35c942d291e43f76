"""Voltages held on the lines of a crossbar of memristors: what every cell sees, what becomes of it, and the energy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.circuit.bias import Bias
from ohmlet.interfaces.memristor import Memristor
from ohmlet_kernels.crossbar_solve import Power, Solution, Wires, crossbar_solve, power
from ohmlet_kernels.noise import Stream

__all__ = ["Written", "hold", "voltages"]

ACCURACY = 1e-6
"""Of the currents of a programming pulse, relative: far below what devices repeat."""


class Written(NamedTuple):
    """A crossbar after one pulse."""

    g: Tensor
    """States [..., rows, columns] in S."""
    voltage: Tensor
    """Across the cells at the beginning of the pulse, [..., rows, columns] in V."""
    power: Power
    """[...] in W at the beginning of the pulse."""
    energy: Tensor
    """[...] in J: all that the sources delivered, at that power."""
    solution: Solution | None
    """Of the lines; None where wires are ideal."""


class _Law(NamedTuple):
    """The current-voltage law of the cells as the solver reads it."""

    memristor: Memristor
    cell: Mapping[str, Tensor]
    conducting: Tensor | None

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return self._open(self.memristor.write_current(v, g, self.cell))

    def slope(self, v: Tensor, g: Tensor) -> Tensor:
        return self._open(self.memristor.write_slope(v, g, self.cell))

    def _open(self, value: Tensor) -> Tensor:
        return value if self.conducting is None else value * self.conducting


def ideal(wires: Wires) -> bool:
    """Return whether voltages reach the cells whole."""
    return not any(float(ohm) for ohm in (wires.r_word, wires.r_bit, wires.r_source, wires.r_sense, wires.r_access))


def voltages(
    memristor: Memristor, g: Tensor, cell: Mapping[str, Tensor], bias: Bias, wires: Wires, guess: Solution | None = None
) -> tuple[Tensor, Power, Solution | None]:
    """Return the voltage [..., rows, columns] across each cell, the power [...], and the solution of the lines if they have resistance."""
    if ideal(wires):
        v = (bias.word[..., :, None] - bias.bit[..., None, :]).to(g.dtype)
        v = v if bias.conducting is None else v * bias.conducting
        used = (v * memristor.write_current(v, g, cell)).to(torch.float64).sum((-1, -2))
        none = torch.zeros_like(used)
        return v.expand(torch.broadcast_shapes(v.shape, g.shape)), Power(used, used, none, none, none), None
    wide = {name: value.to(torch.float64).unsqueeze(-3) for name, value in cell.items()}
    open_cells = None if bias.conducting is None else bias.conducting.unsqueeze(-3).to(torch.float64)
    linear = memristor.cubic(g, cell)
    if linear is not None and not bool(linear[1].any()) and memristor.v_read_max == float("inf"):
        conductance = linear[0] if bias.conducting is None else linear[0] * bias.conducting
        law: _Law | None = None
    else:
        conductance, law = g, _Law(memristor, wide, open_cells)
    solution = crossbar_solve(
        conductance.to(torch.float64), bias.word.to(torch.float64).unsqueeze(-2), wires, v_bit=bias.bit.to(torch.float64).unsqueeze(-2),
        iv=law, rtol=ACCURACY, guess=guess,
    )  # fmt: skip
    v = solution.cell_voltage.squeeze(-3).to(g.dtype)
    # Behind a transistor that is off nothing drives a device.
    v = v if bias.conducting is None else v * bias.conducting
    return v, Power(*(each.squeeze(-1) for each in power(solution))), solution


def hold(
    memristor: Memristor,
    g: Tensor,
    cell: Mapping[str, Tensor],
    bias: Bias,
    seconds: float,
    wires: Wires = Wires(),  # noqa: B008 - a tuple of numbers
    noise: Stream | None = None,
    guess: Solution | None = None,
) -> Written:
    """Return a crossbar of states g [..., rows, columns] (S) after its lines were held at a bias for `seconds`: every cell is moved.

    The voltage across each cell is that of the whole network, at the states that it has when the pulse begins; it is then held for the
    whole pulse. Cells [..., rows, columns] lie on word lines (rows) and bit lines (columns), and a positive voltage is one from the word
    to the bit line. Leading sizes are crossbars of their own. Raises ConfigError where a cell sees a voltage that its model does not
    cover.
    """
    v, used, solution = voltages(memristor, g, cell, bias, wires, guess)
    after = memristor.applied(g, v, seconds, cell, noise)
    return Written(after, v, used, used.delivered * seconds, solution)
