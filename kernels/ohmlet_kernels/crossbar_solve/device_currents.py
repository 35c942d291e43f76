"""Currents of a crossbar with resistive wires in plain torch: conjugate gradients on the device currents."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve.wires import bit_drop, word_drop

__all__ = ["ROUNDING", "Drops", "drops"]

ROUNDING = 3e-14
"""Of an error in float64, relative to what would flow without wires: outputs that cancel further than that have no more digits."""
_ROUNDS = 5


class Drops(NamedTuple):
    """What a solver returns for A crossbars with P inputs each."""

    drop: Tensor
    """Voltage over each cell, [A, P, rows, columns]."""
    output: Tensor
    """Current of each bit line, [A, P, columns]."""
    bound: Tensor
    """Largest possible error of the output relative to its norm, [A, P]."""
    residual: Tensor
    """Norm of what Kirchhoff's voltage law is missed by, relative to the open-circuit voltages, [A, P]: the norm that bounds the error."""
    iterations: Tensor
    """[A, P] int64."""


def drops(g: Tensor, e: Tensor, r: Tensor, drive: bool, sense: bool, rtol: float, limit: int, guess: Tensor | None) -> Drops:
    """Solve d + Z (g d) = e for the voltage d over each cell, with g [A, rows, columns] in S and e [A, P, rows, columns] in V, float64.

    Z is what currents drop on word and bit lines (`wires`), positive semidefinite. With y = sqrt(g) d the equation reads
    (1 + sqrt(g) Z sqrt(g)) y = sqrt(g) e, symmetric with eigenvalues of one and more, and Z costs two cumulative sums. So no
    preconditioner is needed, and the error of y is at most the residual; that of column j is at most sqrt(sum_i g_ij) times it.
    Iterations grow as rows sqrt(r g). Inputs that have converged stand still. It stops at `limit` whether it has converged or not.
    """
    root = g.sqrt().unsqueeze(1)
    b = root * e
    scale = _norm(b)
    column = g.sum(-2, keepdim=True)
    # The resistance of a sense node lies in series with all of a column.
    column = (column / (1 + r[2].to(g.device) * column)) if not sense else column
    reach = column.amax((-1, -2)).sqrt().unsqueeze(1)
    y = torch.zeros_like(b) if guess is None else root * guess

    def apply(x: Tensor) -> Tensor:
        current = root * x
        return x + root * (word_drop(current, r, drive) + bit_drop(current, r, sense))

    spent = torch.zeros(e.shape[:2], dtype=torch.int64, device=e.device)
    for _ in range(_ROUNDS):
        rest = b - apply(y)
        left = _norm(rest)
        output = (root * y).sum(-2)
        target = torch.maximum(rtol * output.norm(dim=-1) / reach.clamp_min(1e-300), ROUNDING * scale)
        if int(spent.max() if spent.numel() else 0) >= limit or not bool((left > target).any()):
            break
        p, rz = rest.clone(), left.square()
        while True:
            ahead = rz > (0.5 * target).square()
            if not bool(ahead.any()) or int(spent.max()) >= limit:
                break
            applied = apply(p)
            alpha = torch.where(ahead, rz / (p * applied).sum((-1, -2)).clamp_min(1e-300), 0.0)[..., None, None]
            y = y + alpha * p
            rest = rest - alpha * applied
            new = rest.square().sum((-1, -2))
            p = rest + torch.where(ahead, new / rz.clamp_min(1e-300), 0.0)[..., None, None] * p
            rz = torch.where(ahead, new, rz)
            spent = spent + ahead
            target = torch.maximum(rtol * (root * y).sum(-2).norm(dim=-1) / reach.clamp_min(1e-300), ROUNDING * scale)
    # Cells of zero conductance carry nothing, but they see a voltage.
    current = root * y
    drop = e - word_drop(current, r, drive) - bit_drop(current, r, sense)
    return Drops(drop, output, _ratio(reach * left, output.norm(dim=-1)), _ratio(left, scale), spent)


def _norm(x: Tensor) -> Tensor:
    return x.square().sum((-1, -2)).sqrt()


def _ratio(error: Tensor, size: Tensor) -> Tensor:
    """Return their ratio, which is zero without an error."""
    return torch.where(error == 0, 0.0, error / size)
