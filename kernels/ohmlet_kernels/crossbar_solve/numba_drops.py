"""Compiled solution of crossbars for many inputs: crossbars and inputs are dealt out to threads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve.device_currents import Drops
from ohmlet_kernels.crossbar_solve.numba_lines import factor
from ohmlet_kernels.crossbar_solve.numba_solve import solve
from ohmlet_kernels.threads import over_rows

__all__ = ["drops"]

_WORK = 64
"""Numbers of plain arithmetic that one cell costs: what decides whether another thread is worth waking."""


def drops(g: Tensor, e: Tensor, r: Tensor, drive: bool, sense: bool, rtol: float, limit: int, guess: Tensor | None) -> Drops:
    """Solve as `device_currents.drops` does, on a CPU."""
    arrays, inputs, rows, columns = e.shape
    drop = torch.empty(e.shape, dtype=torch.float64) if guess is None else guess.clone(memory_format=torch.contiguous_format)
    output, told = torch.empty((arrays, inputs, columns), dtype=torch.float64), torch.zeros((arrays, inputs, 3), dtype=torch.float64)
    conductance, open_circuit, ohm = g.contiguous().numpy(), e.numpy(), r.numpy()
    voltage, current, numbers = drop.numpy(), output.numpy(), told.numpy()
    cells = rows * columns
    parallel_inputs = arrays < torch.get_num_threads()

    def one(array: int, lines: tuple[np.ndarray, ...], reach: float, first: int, last: int) -> None:
        vectors = tuple(np.empty((4, rows, columns)))
        for i in range(first, last):
            at = (voltage[array, i], vectors, current[array, i], numbers[array, i])
            solve(conductance[array], open_circuit[array, i], lines, reach, ohm, drive, sense, rtol, limit, guess is not None, *at)

    def some(first: int, last: int) -> None:
        lines = tuple(np.empty((4, rows, columns)))
        for array in range(first, last):
            reach = factor(conductance[array], ohm, drive, sense, *lines)
            if parallel_inputs:
                over_rows(inputs, inputs * cells * _WORK, lambda a, b: one(array, lines, reach, a, b))  # noqa: B023 -- it has run when the loop goes on
            else:
                one(array, lines, reach, 0, inputs)

    if cells and inputs:
        if parallel_inputs:
            some(0, arrays)
        else:
            over_rows(arrays, arrays * inputs * cells * _WORK, some)
    # Outputs of an operator share no memory.
    return Drops(drop, output, told[..., 0].clone(), told[..., 1].clone(), told[..., 2].to(torch.int64))
