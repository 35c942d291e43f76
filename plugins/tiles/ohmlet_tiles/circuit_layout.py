"""Where the devices of a weight lie on crossbars, and how voltages and currents of their lines make one product."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter

__all__ = ["LAYOUTS", "Layout", "Readout", "readout"]

LAYOUTS = ("separate", "columns", "rows")


class Readout(NamedTuple):
    """How conductances amount to weights: w = sum_d factors_d g_d + offset, factors in 1/uS."""

    factors: tuple[float, ...]
    offset: float


def readout(converter: ConductanceConverter) -> Readout:
    """Return the digital sum by which a converter's conductances become weights.

    Raises ConfigError for one that is no such sum: currents of many cells add up in a line before anything is done with them.
    """
    if type(converter).recover is not ConductanceConverter.recover:
        raise ConfigError(
            f"conductance_converter {type(converter).__name__} keeps signs digitally, and the currents of a line's cells add up before any "
            "sign could be applied: take one with a device for either sign, such as single_pair"
        )
    each = torch.cat((torch.zeros(1, converter.devices), torch.eye(converter.devices), torch.ones(1, converter.devices))).double()
    offset, *factors, total = converter.to_weights(each.mT[..., None]).flatten().tolist()
    factors = [factor - offset for factor in factors]
    if abs(sum(factors) + offset - total) > 1e-9 * (abs(total) + sum(map(abs, factors))):
        raise ConfigError(f"conductance_converter {type(converter).__name__} is no sum of its devices' currents: take single_pair")
    return Readout(tuple(factors), offset)


class Layout(NamedTuple):
    """`separate` crossbars, `columns` side by side on the same word lines, or `rows`: word lines of their own on a common bit line.

    On `rows` each device's word line is driven in proportion to its factor, so positive and negative currents cancel in the bit line.
    Lines are in the order of inputs and outputs, those of one weight next to each other.
    """

    name: str
    factors: Tensor
    """[devices], float64."""

    def grid(self, t: Tensor) -> Tensor:
        """Return values per device [devices, *L, out, in] as they lie on crossbars, [..., rows, columns]."""
        if self.name == "separate":
            return t.mT
        last = t.movedim(0, -1)  # [*L, out, in, devices]
        if self.name == "columns":
            return last.transpose(-3, -2).flatten(-2)
        return last.permute(*range(last.ndim - 3), -2, -1, -3).flatten(-3, -2)

    def into_words(self, u: Tensor) -> Tensor:
        """Return what drives word lines [..., P, rows] for inputs [..., P, in]."""
        return self._doubled(u) if self.name == "rows" else u

    def into_bits(self, u: Tensor) -> Tensor:
        """Return what drives bit lines [..., P, columns] for errors [..., P, out], when the crossbar is read transposed."""
        return self._doubled(u) if self.name == "columns" else u

    def from_bits(self, i: Tensor, power: int = 1) -> Tensor:
        """Return the sum over devices [..., P, out] of bit lines' currents, or with power 2 of their variances."""
        return self._added(i, power, self.name == "rows")

    def from_words(self, i: Tensor, power: int = 1) -> Tensor:
        """Return the sum over devices [..., P, in] of word lines' currents, when the crossbar is read transposed."""
        return self._added(i, power, self.name == "columns")

    @property
    def _largest(self) -> Tensor:
        return self.factors.abs().max()

    def _doubled(self, u: Tensor) -> Tensor:
        return (u.unsqueeze(-1) * (self.factors / self._largest).to(u.device)).flatten(-2)

    def _added(self, i: Tensor, power: int, by_wire: bool) -> Tensor:
        if by_wire:
            return i * self._largest.to(i.device) ** power
        factors = self.factors.to(i.device) ** power
        each = i if self.name == "separate" else i.unflatten(-1, (-1, len(factors))).movedim(-1, 0)
        total: Tensor = torch.tensordot(factors, each, 1)
        return total
