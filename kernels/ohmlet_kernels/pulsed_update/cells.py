"""What a pulsed update works on: the devices of one array, and the pulse trains of a mini-batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ohmlet_kernels.pulsed_update.step import Step

__all__ = ["BOTH", "DOWN_AS_UP", "LEVELS", "SLOTS", "UP_ONLY", "Cells", "Probe", "Trains"]

SLOTS = 32
"""Slots of a pulse train in one word."""

LEVELS = 1 << 24
"""Steps of a firing probability: a slot fires where the upper 24 bits of its random word are below probability x LEVELS."""

BOTH, UP_ONLY, DOWN_AS_UP = 0, 1, 2
"""Which coincidences reach the devices: all, those that increase the weight, those that decrease it (as pulses up)."""


class Cells(NamedTuple):
    """The devices of one array, tensors [out, in]; an update changes `w`, `hidden`, `pulses` and `touched` in place."""

    step: Step
    w: Tensor
    cell: tuple[Tensor, ...]
    """As `step.cell` names them."""
    hidden: tuple[Tensor, ...]
    params: tuple[float, ...]
    tables: tuple[tuple[float, ...], ...]
    pulses: Tensor | None = None
    """int64 [2, out, in]: pulses up and down so far."""
    touched: Tensor | None = None
    """bool [out, in]: becomes true where a pulse arrives."""


class Probe(NamedTuple):
    """Looks at slices of the weights on the way through the samples; an update fills `seen`."""

    after: Tensor
    """int64 [T], not descending: how many samples are pulsed before each look."""
    at: Tensor
    """int64 [T], which column or row is looked at."""
    columns: bool
    seen: Tensor
    """[T, out] of columns or [T, in] of rows, in the weights' type."""


class Trains(NamedTuple):
    """The pulses of S samples. Cell (i, j) gets as many as the trains of row i and column j have slots in common.

    Trains: `x` int64 [S, in, W] and `d` int64 [S, out, W] hold slot k in bit k % 32 of word k // 32, n = popcount(d & x).
    Counts (`period` given): `x` float32 [S, in], `d` float32 [S, out], n = round(d x / period) half to even, `period` float32 [S].
    A coincidence increases the weight where exactly one of the two is negative.
    """

    x: Tensor
    d: Tensor
    x_negative: Tensor
    """bool [S, in]"""
    d_negative: Tensor
    """bool [S, out]"""
    period: Tensor | None = None
    select: int = BOTH

    def part(self, first: int, last: int) -> Trains:
        """Return the trains of the samples first to last - 1."""
        if (first, last) == (0, len(self.x_negative)):
            return self
        chosen = slice(first, last)
        period = None if self.period is None else self.period[chosen]
        return Trains(self.x[chosen], self.d[chosen], self.x_negative[chosen], self.d_negative[chosen], period, self.select)
