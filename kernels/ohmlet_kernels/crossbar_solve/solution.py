"""What a solved crossbar can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve.iv import IV
from ohmlet_kernels.crossbar_solve.wires import Wires, bit_drop, resistances, word_drop

__all__ = ["Solution"]


@dataclass(frozen=True, eq=False)
class Solution:
    """Currents and voltages of a crossbar, in A and V; what is not stored is computed when it is read, and can be differentiated."""

    output: Tensor
    """Current into the sense nodes of each bit line, of both ends together, [..., P, columns]."""
    cell_voltage: Tensor
    """Voltage over the device of each cell, without its access transistor, [..., P, rows, columns]."""
    error_bound: Tensor
    """Largest possible error of `output`, relative to its norm over the columns, [..., P]; proven for proportional cells.

    It may exceed `rtol` only where the columns' currents cancel to within the rounding of float64.
    """
    residual: Tensor
    """How far Kirchhoff's voltage law is missed around the cells, relative to the open-circuit voltages, [..., P].

    Both are norms that weight cells with their conductance.
    """
    iterations: Tensor
    """Steps of conjugate gradients, or of Newton with an `iv`, [..., P] int64."""
    g: Tensor
    """Conductances [..., 1, rows, columns] in S, as given."""
    v: Tensor
    """Voltages of the word lines' sources, [..., P, rows]."""
    v_bit: Tensor | None
    """Voltages of the sense nodes, broadcasting against [..., P, columns]; None is ground."""
    wires: Wires
    iv: IV | None

    @property
    def cell_current(self) -> Tensor:
        """Return the current through each cell, [..., P, rows, columns]."""
        if self.iv is None:
            return self.g.to(self.cell_voltage.dtype) * self.cell_voltage
        wide = self.cell_voltage.to(torch.float64)
        return self.iv.current(wide, self.g.to(torch.float64)).to(self.cell_voltage.dtype)

    @property
    def word_voltage(self) -> Tensor:
        """Return the voltage of the word line at each cell, [..., P, rows, columns]."""
        drop = word_drop(self.cell_current.to(torch.float64), self._ohm(), self.wires.drive == "double")
        return (self.v.to(torch.float64).unsqueeze(-1) - drop).to(self.output.dtype)

    @property
    def bit_voltage(self) -> Tensor:
        """Return the voltage of the bit line at each cell, [..., P, rows, columns]."""
        rise = bit_drop(self.cell_current.to(torch.float64), self._ohm(), self.wires.sense == "double")
        return (rise if self.v_bit is None else rise + self.v_bit.to(torch.float64).unsqueeze(-2)).to(self.output.dtype)

    def _ohm(self) -> Tensor:
        return resistances(self.wires)[0]
