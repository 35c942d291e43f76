"""Compiled solution of crossbars for many inputs: crossbars and groups of inputs are dealt out to threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve.device_currents import ROUNDING, Drops
from ohmlet_kernels.crossbar_solve.numba_batch import scratch, solve_batch
from ohmlet_kernels.crossbar_solve.numba_batch_lines import factor_both
from ohmlet_kernels.crossbar_solve.numba_lanes import LANES, aligned
from ohmlet_kernels.crossbar_solve.numba_lines import factor
from ohmlet_kernels.crossbar_solve.numba_solve import solve
from ohmlet_kernels.threads import over_rows

__all__ = ["drops"]

_WORK = 64
"""Numbers of plain arithmetic that one cell costs: what decides whether another thread is worth waking."""
_FEW = 4
"""Inputs below which a group with empty lanes costs more than one input after the other."""


def drops(g: Tensor, e: Tensor, r: Tensor, drive: bool, sense: bool, rtol: float, limit: int, guess: Tensor | None) -> Drops:
    """Solve as `device_currents.drops` does, on a CPU.

    Inputs of a crossbar are solved LANES at a time (`numba_batch`), and one by one (`numba_solve`) where they are few or their
    crossbar is too badly conditioned for float32. `limit` holds for either.
    """
    arrays, inputs, rows, columns = e.shape
    # NumPy asks for large pages where torch does not, and a batch touches many.
    drop = torch.from_numpy(np.empty(e.shape)) if guess is None else guess.clone(memory_format=torch.contiguous_format)
    output, told = torch.empty((arrays, inputs, columns), dtype=torch.float64), torch.zeros((arrays, inputs, 3), dtype=torch.float64)
    compact = e
    if inputs >= _FEW:
        compact = (e[..., :1] if e.stride(-1) == 0 else e).contiguous()
    numbers = [each.numpy() for each in (g.contiguous(), e, compact, drop, output, told)]
    settings, groups, work = (r.numpy(), drive, sense, rtol, limit), _groups(inputs), inputs * rows * columns * _WORK
    parallel_inputs = arrays < torch.get_num_threads()

    def some(first: int, last: int) -> None:
        for array in range(first, last):
            conductance, own, own_compact, *solution = (each[array] for each in numbers)
            crossbar = _Crossbar(conductance, settings, guess is not None, own, own_compact, tuple(solution))
            if parallel_inputs:
                over_rows(len(groups), work, lambda a, b: crossbar.solve(groups[a:b]))  # noqa: B023 -- it has run when the loop goes on
            else:
                crossbar.solve(groups)

    if work:
        if parallel_inputs:
            some(0, arrays)
        else:
            over_rows(arrays, arrays * work, some)
    # Outputs of an operator share no memory.
    return Drops(drop, output, told[..., 0].clone(), told[..., 1].clone(), told[..., 2].to(torch.int64))


def _groups(inputs: int) -> list[slice]:
    """Return which inputs are solved together."""
    whole = inputs - inputs % LANES
    groups = [slice(first, first + LANES) for first in range(0, whole, LANES)]
    if inputs - whole >= _FEW:
        return [*groups, slice(whole, inputs)]
    return groups + [slice(p, p + 1) for p in range(whole, inputs)]


def _alone(group: slice) -> bool:
    return bool(group.stop - group.start == 1)


class _Crossbar:
    """One crossbar, what it shares between inputs, and where they come from and their solutions go, [P, ...] each.

    `compact` is e [P, rows, columns], or [P, rows, 1] where its columns are alike; settings are r, drive, sense, rtol and limit.
    """

    def __init__(
        self, g: np.ndarray, settings: tuple[Any, ...], guessed: bool, e: np.ndarray, compact: np.ndarray, solution: tuple[np.ndarray, ...]
    ) -> None:
        self.g, self.settings, self.guessed, self.e, self.compact = g, settings, guessed, e, compact
        self.d, self.out, self.told = solution
        groups = _groups(len(e))
        self.lines: tuple[Any, ...] | None = self._factor() if _alone(groups[-1]) else None
        self.lines_both_ways: tuple[Any, ...] = ()
        if not _alone(groups[0]):
            light, exact = aligned((7, *g.shape), np.float32), aligned((2, *g.shape), np.float64)
            self.lines_both_ways = (light, exact, *factor_both(*(g, *settings[:3], light, exact)))

    def solve(self, groups: list[slice]) -> None:
        """Solve for some of the inputs."""
        batches = [group for group in groups if not _alone(group)]
        singles = [(group.start, self.guessed) for group in groups[len(batches) :]]
        memory: tuple[Any, ...] = scratch(*self.g.shape) if batches else ()
        for group in batches:
            at: tuple[Any, ...] = (self.d[group], self.out[group], self.told[group])
            every = (self.g, self.compact[group], *self.lines_both_ways, *self.settings, self.guessed, *memory, *at)
            if not solve_batch(*every):
                bound, residual = self.told[group, 0], self.told[group, 1]
                late = ~(bound <= self.settings[3]) & ~(residual <= ROUNDING)
                # From where float32 came to, if that is worth anything.
                singles += [(group.start + int(p), bool(bound[p] < 1)) for p in np.flatnonzero(late)]
        if singles:
            if self.lines is None:
                self.lines = self._factor()
            vectors = tuple(np.empty((4, *self.g.shape)))
            for p, guessed in singles:
                before = self.told[p, 2]
                at = (self.d[p], vectors, self.out[p], self.told[p])
                solve(*(self.g, self.e[p], *self.lines, *self.settings, guessed, *at))
                self.told[p, 2] += before

    def _factor(self) -> tuple[Any, ...]:
        lines = tuple(np.empty((4, *self.g.shape)))
        return lines, factor(*(self.g, *self.settings[:3], *lines))
