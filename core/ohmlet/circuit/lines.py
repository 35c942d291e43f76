"""Crossbars of memristors as voltages on their lines meet them: what a tile hands over to be programmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from torch import Tensor

from ohmlet.interfaces.memristor import Memristor
from ohmlet_kernels.crossbar_solve import Wires

__all__ = ["Lines", "OnLines"]


class Lines(NamedTuple):
    """Cells on word lines (rows) and bit lines (columns); leading sizes are crossbars of their own."""

    memristor: Memristor
    g: Tensor
    """States [..., rows, columns] in S, float64."""
    cell: Mapping[str, Tensor]
    """What differs between devices, of the same sizes."""
    wires: Wires


class OnLines(Protocol):
    """What the module of a tile defines whose devices can be pulsed from its lines, beside `conductance_mvm`."""

    def lines(self, g: Tensor, key: Tensor) -> Lines:
        """Return the crossbars of chips with these keys [instances, groups?] that hold g [devices, instances, groups?, out, in] in uS."""

    def laid(self, t: Tensor) -> Tensor:
        """Return values [devices, instances, groups?, out, in] of all devices as they lie on the lines, [..., rows, columns]."""

    def driven(self, u: Tensor) -> Tensor:
        """Return the voltages of word lines [..., P, rows] that inputs [..., P, in] become, 1 being full scale."""
