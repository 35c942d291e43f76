"""The solution of crossbars with resistive wires: arguments, proportional cells."""

from __future__ import annotations

import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve.iv import IV
from ohmlet_kernels.crossbar_solve.newton import newton
from ohmlet_kernels.crossbar_solve.op import crossbar_drops
from ohmlet_kernels.crossbar_solve.solution import Solution
from ohmlet_kernels.crossbar_solve.wires import Wires, resistances

__all__ = ["crossbar_solve"]


def crossbar_solve(
    g: Tensor,
    v: Tensor,
    wires: Wires,
    *,
    v_bit: Tensor | None = None,
    iv: IV | None = None,
    rtol: float = 1e-8,
    guess: Solution | None = None,
    kernel: str = "auto",
) -> Solution:
    """Return the currents and voltages of crossbars with resistive wires.

    Kirchhoff's laws for every node: the voltage over a cell and its access transistor is that of its sources less what all currents
    drop on its word line and its bit line,

        V_ij + r_access I_ij + (Z I)_ij = v_i - v_bit_j,    I_ij = g_ij V_ij or iv.current(V_ij, g_ij),    output_j = sum_i I_ij

    with Z the resistances that two cells share on the way to their sources (`Wires`). g [..., rows, columns] in S, word lines are rows
    and bit lines are columns; v [..., P, rows] and v_bit [..., P, columns] (or what broadcasts to it) in V; leading sizes broadcast.

    Proportional cells are solved by conjugate gradients until the bound on the error of the output, relative to its norm over the
    columns, is at most `rtol`, 1e-12 to 0.1. Other cells take Newton's method with a line search around that. Both compute in float64
    and return the type of g and v. `guess`, the solution of a similar crossbar, saves iterations. Gradients come from one more solution
    and pass to g, v, v_bit, tensors among `wires` and tensors inside `iv`. Memory is a fixed number of tensors [..., P, rows, columns].

    `kernel`: "numba" is compiled for the CPU and solves all word and all bit lines exactly in turn; "reference" is plain torch on any
    device, without that preconditioning; "auto" picks.

    Raises ValueError for arguments that make no circuit, and ConvergenceError, quoting the residual, rather than returning a wrong number.
    """
    if g.ndim < 2 or v.ndim < 2 or g.shape[-2] != v.shape[-1]:
        raise ValueError(f"g is [..., rows, columns] and v is [..., P, rows], got {tuple(g.shape)} and {tuple(v.shape)}")
    if not (1e-12 <= rtol <= 0.1):
        raise ValueError(f"rtol is between 1e-12 and 0.1, got {rtol}")
    if kernel not in ("auto", "numba", "reference"):
        raise ValueError(f"kernel is 'auto', 'numba' or 'reference', got {kernel!r}")
    if not (g.is_floating_point() and v.is_floating_point()):
        raise ValueError(f"conductances and voltages are real floating-point numbers, got {g.dtype} and {v.dtype}")
    lead, inputs, (rows, columns) = torch.broadcast_shapes(g.shape[:-2], v.shape[:-2]), v.shape[-2], g.shape[-2:]
    if v_bit is not None:
        inputs = torch.broadcast_shapes((inputs,), v_bit.shape[-2:-1])[0]
        lead = torch.broadcast_shapes(lead, v_bit.shape[:-2])
        if v_bit.shape[-1] != columns:
            raise ValueError(f"v_bit is [..., P, columns] with {columns} columns, got {tuple(v_bit.shape)}")
    ohm, access = resistances(wires)
    access = access.to(g.device)
    wide, volts = g.to(torch.float64), v.to(torch.float64).expand(*lead, inputs, rows)
    e = volts.unsqueeze(-1)
    e = e.expand(*lead, inputs, rows, columns) if v_bit is None else e - v_bit.to(torch.float64).unsqueeze(-2)
    start = None if guess is None else _start(guess, e)
    settings = (wires.drive == "double", wires.sense == "double", rtol)
    if iv is not None:
        cells = wide.unsqueeze(-3)
        voltage, told = newton(cells, e, ohm, access, *settings, iv, start, kernel)
        output = iv.current(voltage, cells).sum(-2)
        bound, residual, iterations = told
    else:
        # Behind its transistor a cell is another resistor.
        behind = access.requires_grad or float(access) != 0
        share = 1 + wide * access if behind else None
        effective = wide if share is None else wide / share
        if g.shape[:-2].numel() == 1:
            shape: tuple[int, ...] = (1, lead.numel() * inputs)
            arrays = effective.reshape(1, rows, columns)
        else:
            shape = (lead.numel(), inputs)
            arrays = effective.expand(*lead, rows, columns).reshape(-1, rows, columns)
        if start is not None:
            start = (start if share is None else start * share.detach().unsqueeze(-3)).reshape(*shape, rows, columns)
        found = crossbar_drops(arrays, e.reshape(*shape, rows, columns), ohm, *settings, start, kernel)
        drop = found[0].reshape(e.shape)
        voltage = drop if share is None else drop / share.unsqueeze(-3)
        output = found[1].reshape(*lead, inputs, columns)
        bound, residual, iterations = (each.reshape(*lead, inputs) for each in found[2:])
    dtype = torch.promote_types(g.dtype, v.dtype)
    return Solution(
        output.to(dtype), voltage.to(dtype), bound, residual, iterations, g.unsqueeze(-3), v.expand(*lead, inputs, rows), v_bit, wires, iv
    )


def _start(guess: Solution, e: Tensor) -> Tensor:
    """Return the cell voltages to begin with."""
    if guess.cell_voltage.shape != e.shape:
        raise ValueError(f"guess is of a crossbar with cell voltages {tuple(guess.cell_voltage.shape)}, this one has {tuple(e.shape)}")
    return guess.cell_voltage.detach().to(torch.float64)
