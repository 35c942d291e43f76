"""Quantiles of magnitudes from a stream of tensors, in constant memory: exact in two passes, to 2^-8 in one."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

__all__ = ["Magnitudes"]

LOW_BITS = 15
"""Of a float32's 31 bits below its sign, those within a bin; the 16 above, 8 of exponent and 8 of mantissa, number the bin."""


class Magnitudes:
    """A histogram of |x| whose bins are 2^-8 of their value wide: the bits of a positive float32 grow with its value.

    The q-quantile of N magnitudes is the smallest of them that at least q N are not above, one of the data, so that a fraction of at
    most 1 - q lies beyond. One pass finds the bin that holds it; `fine`, filled in a second pass over the same data, finds the number.
    """

    def __init__(self) -> None:
        self.count = self.counted_again = 0
        self.largest = 0.0
        self.coarse: Tensor | None = None
        self.fine: Tensor | None = None
        self._bin = -1

    def see(self, x: Tensor) -> None:
        """Count the magnitudes of a tensor; raises ValueError for NaN and infinity."""
        bits = _bits(x)
        if not bits.numel():
            return
        self.largest = max(self.largest, _value(int(bits.max())))
        counted = torch.bincount(bits >> LOW_BITS, minlength=1 << 16)
        self.coarse = counted if self.coarse is None else self.coarse + counted
        self.count += bits.numel()

    def narrow(self, q: float) -> None:
        """Begin the second pass, for the q-quantile."""
        self._bin, self.fine, self.counted_again = self._bin_of(q), None, 0

    def see_again(self, x: Tensor) -> None:
        """Count, in the second pass, the magnitudes within the quantile's bin."""
        bits = _bits(x)
        self.counted_again += bits.numel()
        inside = bits[bits >> LOW_BITS == self._bin] & ((1 << LOW_BITS) - 1)
        counted = torch.bincount(inside, minlength=1 << LOW_BITS)
        self.fine = counted if self.fine is None else self.fine + counted

    def quantile(self, q: float) -> float:
        """Return the q-quantile; without a second pass its bin's upper end, which is at most 2^-8 of it too large."""
        chosen = self._bin_of(q)
        if self.fine is None:
            # The first bin holds zeros only.
            return 0.0 if chosen == 0 else min(_value(((chosen + 1) << LOW_BITS) - 1), self.largest)
        assert chosen == self._bin
        assert self.coarse is not None
        below = int(self.coarse[:chosen].sum())
        return _value((chosen << LOW_BITS) + _first(self.fine, self._rank(q) - below))

    def beyond(self, q: float) -> float:
        """Return the fraction of magnitudes above `quantile(q)`."""
        assert self.coarse is not None
        chosen = self._bin_of(q)
        above = int(self.coarse[chosen + 1 :].sum())
        if self.fine is not None:
            within = _first(self.fine, self._rank(q) - int(self.coarse[:chosen].sum()))
            above += int(self.fine[within + 1 :].sum())
        return above / self.count

    def histogram(self) -> tuple[Tensor, Tensor]:
        """Return the magnitudes in the middle of each bin that is not empty, ascending, and how many were counted there."""
        assert self.coarse is not None
        filled = self.coarse.nonzero().flatten()
        middles = (filled.to(torch.int32) << LOW_BITS) + (1 << (LOW_BITS - 1))
        sizes = torch.where(filled.to(torch.int32) == 0, 0, middles).view(torch.float32)
        return sizes.to(torch.float64).clamp_max(self.largest), self.coarse[filled].to(torch.float64)

    def _rank(self, q: float) -> int:
        """Return how many magnitudes are not above the quantile, at least one."""
        # In decimal: 0.7 of 10 numbers are 7 of them, and as binary floats 8.
        return max(1, math.ceil(Fraction(str(q)) * self.count))

    def _bin_of(self, q: float) -> int:
        assert self.coarse is not None
        return _first(self.coarse, self._rank(q))


def _first(counts: Tensor, rank: int) -> int:
    """Return the first bin up to which there are `rank` counts."""
    return int(torch.searchsorted(counts.cumsum(0), rank))


def _bits(x: Tensor) -> Tensor:
    """Return the bits of |x| in float32 as whole numbers that grow with it; what is below 1.2e-38 counts as zero."""
    bits = x.detach().to(torch.float32).abs().contiguous().view(torch.int32).flatten()
    if bits.numel() and int(bits.max()) >= 0x7F800000:
        bad = int((bits >= 0x7F800000).sum())
        raise ValueError(f"{bad} of {bits.numel()} values are not finite (NaN or infinite)")
    return bits.masked_fill(bits < 0x00800000, 0)


def _value(bits: int) -> float:
    return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32))
