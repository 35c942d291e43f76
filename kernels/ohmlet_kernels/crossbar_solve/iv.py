"""Cells whose current is not proportional to the voltage."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

__all__ = ["IV", "Cubic"]


class IV(Protocol):
    """A static current-voltage characteristic as torch operations, elementwise over the cells.

    `v` [..., P, rows, columns] in V and `g` [..., 1, rows, columns] in S, both float64. The current must rise with the voltage:
    otherwise a crossbar has several states, and `crossbar_solve` refuses it where it meets a falling stretch.
    """

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        """Return the current in A."""

    def slope(self, v: Tensor, g: Tensor) -> Tensor:
        """Return dI/dV in S."""


class Cubic(NamedTuple):
    """Odd cubic cells, I = g V + third V^3: metal-oxide memristors with A1 as the conductance and A3 as `third`.

    Source: H. Nili et al., IEEE Trans. Nanotechnol. (2020), ieeexplore.ieee.org/document/9047174.
    """

    third: Tensor
    """A / V^3, shaped to broadcast against [..., P, rows, columns]."""

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        """Return the current in A."""
        return v * (g + self.third * v.square())

    def slope(self, v: Tensor, g: Tensor) -> Tensor:
        """Return dI/dV in S."""
        return g + 3 * self.third * v.square()
