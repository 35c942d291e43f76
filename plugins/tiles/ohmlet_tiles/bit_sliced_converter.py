"""The devices behind a weight of tile `bit_sliced`: those of every slice, one slice after another."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet_tiles.slices_weights import UNIPOLAR, WeightSlices

__all__ = ["SlicedConverter", "held", "lowest_weight"]


def lowest_weight(converter: ConductanceConverter, signs: str) -> float:
    """Return the cell's weight that a digit of zero stands for: that of devices at g_min where digits count from zero up, else 0.

    A converter of pairs has zero there, and digits leave one device of a pair idle; one of single devices around a reference has -1, and
    digits use its whole window.
    """
    if signs not in UNIPOLAR:
        return 0.0
    return float(converter.to_weights(torch.full((converter.devices, 1, 1), converter.window.g_min)))


def held(digit: Tensor, lowest: float) -> Tensor:
    """Return the weights that cells hold for digits in [0, 1]."""
    return digit if lowest == 0.0 else lowest + (1.0 - lowest) * digit


@frozen(kw_only=True)
class SlicedConverter(ConductanceConverter):
    """Weights as the digits of their codes, each on the devices that a crossbar's own converter gives it.

    Conductances are [slices devices, ..., out + unit_rows, in]. `recover(to_conductances(w))` is w rounded to its code.
    """

    type_name: ClassVar[str] = "bit_sliced"

    cell: ConductanceConverter
    slices: WeightSlices

    @property
    def devices(self) -> int:
        """Those of a cell in every slice."""
        return self.cell.devices * len(self.slices.factors())

    @property
    def window(self) -> ConductanceWindow:
        """That of a cell."""
        return self.cell.window

    def of_slices(self, g: Tensor) -> tuple[Tensor, ...]:
        """Return the conductances [devices of a cell, ..., out + unit_rows, in] of each slice."""
        return tuple(g.unflatten(0, (-1, self.cell.devices)))

    def to_conductances(self, w: Tensor) -> Tensor:
        """Return conductances [slices devices, ..., out + unit_rows, in] (uS) of weights [..., out, in]."""
        lowest = lowest_weight(self.cell, self.slices.signs)
        return torch.cat([self.cell.to_conductances(held(digit, lowest)) for digit in self.slices(w)])

    def to_weights(self, g: Tensor) -> Tensor:
        """Return weights [..., out, in] that the digits, each as its conductances have it, add up to."""
        lowest = lowest_weight(self.cell, self.slices.signs)
        digits = [(self.cell.to_weights(each) - lowest) / (1.0 - lowest) for each in self.of_slices(g)]
        total = torch.stack([factor * digit for factor, digit in zip(self.slices.factors(), digits, strict=True)]).sum(0)
        if self.slices.unit_rows:
            return (total[..., :-1, :] - total[..., -1:, :]) / self.slices.levels
        return total / self.slices.levels - (1.0 if self.slices.offset else 0.0)
