"""Steps that together use everything a step may: hidden states, several draws, tables, every function of `ops`."""

from typing import Any

import torch
from torch import Tensor

from ohmlet_kernels.pulsed_update import Cells, Step, Trains, read_step

ops: Any = None
QUARTER = 0.25


def bounded(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
    """Constant steps between bounds."""
    size = ops.where(up, cell.dw, -cell.dw) * (1 + params.sigma * noise[0])
    return ops.minimum(ops.maximum(w + size, -cell.bound), cell.bound), hidden


def everything(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
    """Two hidden states, two normals and a uniform, a table, and all of `ops`; `w` is assigned to."""
    shape = ops.interpolate(params.shape, (w + 1) / 2)
    heat = hidden.heat * params.decay + ops.abs(noise[1]) * QUARTER
    size = cell.dw * shape * ops.exp(-heat) * ops.pow(1.5 - ops.tanh(heat), cell.gamma) + 0.01 * ops.log(1 + heat)
    size *= ops.where((noise[2] < 0.75) & (heat > 0.0), 1.0, 2.0)
    w = w + ops.where(up, size, -size) * (1 + params.sigma * noise[0])
    return ops.minimum(ops.maximum(w, -1.0), 1.0), (heat, ops.sqrt(hidden.count * hidden.count + 1))


def silent(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
    """No draws at all."""
    return w + ops.where(up, cell.dw, -cell.dw), hidden


STEPS = {
    "bounded": (read_step(bounded, ("dw", "bound", "unread"), (), ("sigma",), (), 1, 0), (0.3,), ()),
    "everything": (
        read_step(everything, ("dw", "gamma"), ("heat", "count"), ("decay", "sigma"), ("shape",), 2, 1),
        (0.9, 0.3),
        ((0.2, 1.0, 0.7, 0.3),),
    ),
    "silent": (read_step(silent, ("dw",), (), (), (), 0, 0), (), ()),
}


def cells_of(name: str, rows: int, columns: int, counted: bool = False) -> Cells:
    """Return fresh cells with a spread, the same ones each time."""
    step, params, tables = STEPS[name]
    generator = torch.Generator().manual_seed(rows * 1000 + columns)

    def spread(mean: float) -> Tensor:
        return mean * (1 + 0.2 * torch.rand((rows, columns), generator=generator))

    means = {"dw": 0.01, "bound": 0.05, "gamma": 1.3}
    return Cells(
        step,
        spread(0.02) - 0.02,
        tuple(spread(means[part]) for part in step.cell),
        tuple(spread(0.1) for _ in step.hidden),
        params,
        tables,
        torch.zeros((2, rows, columns), dtype=torch.int64) if counted else None,
        torch.zeros((rows, columns), dtype=torch.bool) if counted else None,
    )


def random_trains(samples: int, rows: int, columns: int, words: int = 1, density: float = 0.5, select: int = 0) -> Trains:
    """Return trains whose slots fire with a density, with silent rows and columns among them."""
    generator = torch.Generator().manual_seed(samples + 7 * rows + 11 * columns + words)

    def bits(lines: int) -> Tensor:
        of_line, spoken = torch.rand((2, samples, lines, 1, 1), generator=generator)
        fires = (torch.rand((samples, lines, words, 32), generator=generator) < density * of_line) & (spoken < 0.8)
        made: Tensor = (fires.to(torch.int64) << torch.arange(32)).sum(-1)
        return made

    x_negative, d_negative = (torch.rand((samples, lines), generator=generator) < 0.5 for lines in (columns, rows))
    return Trains(bits(columns), bits(rows), x_negative, d_negative, None, select)


def counted_trains(samples: int, rows: int, columns: int, most: float = 40.0, select: int = 0) -> Trains:
    """Return pulses given as counts, exact halves among them."""
    generator = torch.Generator().manual_seed(samples + rows + columns)
    x = (torch.rand((samples, columns), generator=generator) * 8).round() / 4
    d = (torch.rand((samples, rows), generator=generator) * most).round()
    x_negative, d_negative = (torch.rand((samples, lines), generator=generator) < 0.5 for lines in (columns, rows))
    return Trains(x, d, x_negative, d_negative, torch.rand(samples, generator=generator).round() + 1, select)


def copied(cells: Cells) -> Cells:
    """Return cells with tensors of their own."""
    return cells._replace(
        w=cells.w.clone(),
        hidden=tuple(state.clone() for state in cells.hidden),
        pulses=None if cells.pulses is None else cells.pulses.clone(),
        touched=None if cells.touched is None else cells.touched.clone(),
    )


__all__ = ["STEPS", "Step", "cells_of", "copied", "counted_trains", "random_trains"]
