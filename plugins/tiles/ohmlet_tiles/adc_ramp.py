"""Converter `ramp`: all columns compared with one rising staircase, each counting its steps."""

from __future__ import annotations

from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.spec import boolean, number
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.adc_binary import BinaryADC
from ohmlet_tiles.adc_capacitors import bit_levels, with_gain

__all__ = ["RampADC"]


@frozen(kw_only=True)
class RampADC(BinaryADC):
    """A ramp that one capacitive DAC makes for all columns; a column's code is the last step before the ramp has passed its output.

    With u = y / step + zero + 1/2, the levels l_n of the DAC (see `ohmlet_tiles.adc_capacitors`, with the gain as in `sar`) and a
    comparator for each column,

        code = (number of n >= 1 with max(l_1, ..., l_n) <= u - sigma_comparator xi half)

    The running maximum stands for a comparator that fires once, so codes are monotone. Levels are 2^bits numbers for each crossbar and
    are searched, so memory does not grow with 2^bits times the outputs.

    References: Spear et al., IEEE JxCDC 9 (2023), doi:10.1109/JXCDC.2023.3315134.
    """

    sigma_capacitor: float = number(0.0, "mismatch of a unit capacitor, relative", ge=0.0, lt=0.3)
    split_cdac: bool = boolean(False, "capacitors in two halves with a bridge instead of one binary array")

    def fabricate(self, columns: int, like: Tensor, noise: Stream) -> Any:
        """Return the ramp's levels [*L, 2^bits - 1] and the comparators' offsets [*L, columns], both in steps."""
        xi = noise.normal("capacitors", like.new_empty((1, self.bits + 1))).squeeze(-2)
        bits = bit_levels(xi, self.sigma_capacitor, self.split_cdac)
        levels = like.new_zeros((*bits.shape[:-1], 1))
        for k in range(self.bits):
            levels = torch.cat((levels, levels + bits[..., k : k + 1]), -1)
        levels = with_gain(levels[..., 1:], self.half, self.inverse_gain, self.split_cdac).cummax(-1).values
        offset = self.half * self.sigma_comparator * noise.normal("comparator", like.new_empty((1, columns))).squeeze(-2)
        return levels, offset

    def codes(self, u: Tensor, made: Any) -> Tensor:
        """Return the codes of positions u [..., S, R, out]."""
        levels, offset = made
        u = u - offset[..., None, None, :]
        lead = torch.broadcast_shapes(levels.shape[:-1], u.shape[:-3])
        flat = u.expand(*lead, *u.shape[-3:]).flatten(-3).contiguous()
        found = torch.searchsorted(levels.expand(*lead, levels.shape[-1]).contiguous(), flat, right=True)
        codes: Tensor = found.to(u.dtype).unflatten(-1, u.shape[-3:])
        return codes
