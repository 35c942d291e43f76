"""Converter `sar`: successive approximation against the levels of a capacitive DAC."""

from __future__ import annotations

from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.spec import boolean, integer, number
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.adc_binary import BinaryADC, grouped
from ohmlet_tiles.adc_capacitors import bit_levels, with_gain

__all__ = ["SarADC"]


@frozen(kw_only=True)
class SarADC(BinaryADC):
    """Successive approximation: from the highest bit down, a bit stays where the output is not below the level it makes.

    With u = y / step + zero + 1/2 on a scale of 2^bits steps, l(code) the level that the code's capacitors make (see
    `ohmlet_tiles.adc_capacitors`) and half = 2^(bits - 1):

        bit k = 1 where u >= half + (l(code + 2^k) - half) / (1 + 1 / (A beta)) + sigma_comparator xi half

    One converter serves `group_size` columns one after another; each has capacitors and a comparator of its own. A search can only
    rise with its input, so codes are monotone whatever the errors, but some may be missing.

    References: Spear et al., IEEE JxCDC 9 (2023), doi:10.1109/JXCDC.2023.3315134.
    """

    sigma_capacitor: float = number(0.0, "mismatch of a unit capacitor, relative", ge=0.0, lt=0.3)
    split_cdac: bool = boolean(True, "capacitors in two halves with a bridge instead of one binary array")
    group_size: int = integer(8, "columns that share a converter", ge=1)

    def fabricate(self, columns: int, like: Tensor, noise: Stream) -> Any:
        """Return the levels of the bits [*L, columns, bits] and the comparators' offsets [*L, columns], both in steps."""
        groups = -(-columns // self.group_size)
        xi = noise.normal("capacitors", like.new_empty((groups, self.bits + 1)))
        offset = self.half * self.sigma_comparator * noise.normal("comparator", like.new_empty((groups, 1)))
        levels = bit_levels(xi, self.sigma_capacitor, self.split_cdac)
        return grouped(levels, self.group_size, columns), grouped(offset, self.group_size, columns).squeeze(-1)

    def codes(self, u: Tensor, made: Any) -> Tensor:
        """Return the codes of positions u [..., S, R, out]."""
        levels, offset = made
        u = u - offset[..., None, None, :]
        code, level = torch.zeros_like(u), torch.zeros_like(u)
        for k in reversed(range(self.bits)):
            trial = level + levels[..., None, None, :, k]
            stays = u >= with_gain(trial, self.half, self.inverse_gain, self.split_cdac)
            code, level = code + stays * 2.0**k, torch.where(stays, trial, level)
        return code
