"""The voltages over the cells of crossbars with resistive wires as one torch operator, differentiated implicitly."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve import device_currents
from ohmlet_kernels.crossbar_solve.device_currents import Drops
from ohmlet_kernels.crossbar_solve.wires import bit_drop, positions, word_drop

__all__ = ["LIMIT", "ConvergenceError", "crossbar_drops"]

LIMIT = 20_000
"""Iterations that no crossbar of working wires comes near."""


class ConvergenceError(ArithmeticError):
    """A crossbar's currents were not found to the accuracy asked for; the message quotes what was reached."""


@functools.cache
def _compiled() -> Callable[..., Drops] | None:
    try:
        from ohmlet_kernels.crossbar_solve.numba_drops import drops
    except ImportError:
        return None
    return drops


def _solver(kernel: str, device: torch.device) -> Callable[..., Drops]:
    if kernel == "reference" or (kernel == "auto" and (device.type != "cpu" or _compiled() is None)):
        return device_currents.drops
    found = _compiled()
    if found is None:
        raise ValueError("kernel 'numba' needs numba: pip install numba, or take kernel 'reference'")
    if device.type != "cpu":
        raise ValueError(f"kernel 'numba' runs on the CPU, and the conductances are on {device}: take kernel 'reference'")
    return found


def _ends(x: Tensor) -> tuple[float, float]:
    """Return the least and the largest of some numbers; NaN, if there is one.

    On a CPU by NumPy: torch would wake its threads, which go on spinning for a while beside those that solve.
    """
    # Expanded numbers count once.
    x = x[tuple(slice(0, 1 if step == 0 else None) for step in x.stride())]
    if x.device.type == "cpu":
        return float(x.numpy().min()), float(x.numpy().max())
    low, high = torch.aminmax(x)
    return float(low), float(high)


def _most(g: Tensor, r: Tensor, rtol: float) -> int:
    """Return more iterations than conjugate gradients need in exact arithmetic, sqrt(condition) ln(2 condition / rtol).

    The condition number of either solver is at most 1 + trace of what one word line and one bit line add.
    """
    rows, columns = g.shape[-2:]
    along, down = positions(r[0], r[1], columns, g.device), positions(r[2], r[3], rows, g.device).flip(0)
    if g.device.type == "cpu":
        found = np.einsum("aij,j->ai", g.numpy(), along.numpy()).max() + np.einsum("aij,i->aj", g.numpy(), down.numpy()).max()
    else:
        found = (g @ along).amax() + (down @ g).amax()
    condition = 1.0 + float(found)
    return min(LIMIT, 50 + int(math.sqrt(condition) * math.log(2.0 * condition / rtol)))


def _solve(
    g: Tensor, e: Tensor, r: Tensor, drive: bool, sense: bool, rtol: float, guess: Tensor | None, kernel: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    drops = _solver(kernel, g.device)
    if 0 in e.shape:
        some, nothing = e.new_zeros(e.shape[:2]), torch.zeros_like(e, memory_format=torch.contiguous_format)
        return nothing, e.new_zeros((*e.shape[:2], e.shape[3])), some, some.clone(), some.long()
    low, high = _ends(g)
    if not (low >= 0 and high < math.inf):
        raise ValueError(f"conductances are siemens, finite and zero or more; these run from {low:g} to {high:g}")
    if not all(math.isfinite(end) for end in _ends(e)):
        raise ValueError(f"voltages are finite, got {e[~e.isfinite()][0].item()}")
    limit = _most(g, r, rtol)
    found = drops(g, e, r, drive, sense, rtol, limit, guess)
    short = ~(found.bound <= rtol) & ~(found.residual <= device_currents.ROUNDING)
    if bool(short.any()):
        ohm = ", ".join(f"{x:g}" for x in r.tolist())
        raise ConvergenceError(
            f"{int(short.sum())} of {short.numel()} inputs did not reach rtol {rtol:g} in {int(found.iterations.max())} iterations"
            f" (bound on the error {float(found.bound[short].max()):.1e}, residual {float(found.residual[short].max()):.1e}): conductances"
            f" up to {high:g} S and wires of {ohm} ohm (source, word, sense, bit) are further apart than float64 resolves"
        )
    return found.drop, found.output, found.bound, found.residual, found.iterations


def _shapes(
    g: Tensor, e: Tensor, r: Tensor, drive: bool, sense: bool, rtol: float, guess: Tensor | None, kernel: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    lead = e.shape[:2]
    some = e.new_empty(lead)
    return e.new_empty(e.shape), e.new_empty((*lead, e.shape[3])), some, some.clone(), torch.empty(lead, dtype=torch.int64, device=e.device)


def _remember(ctx: Any, inputs: Any, output: Any) -> None:
    g, _, r, ctx.drive, ctx.sense, ctx.rtol, _, ctx.kernel = inputs
    ctx.save_for_backward(g, r, output[0])
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, of_drop: Tensor | None, of_output: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    """Return the gradients by one more solution: Z is symmetric, so the adjoint of (1 + Z g)^-1 is 1 - g (1 + Z g)^-1 Z."""
    g, r, drop = ctx.saved_tensors
    if of_drop is None and of_output is None:
        return (None,) * 8
    through: Tensor | float = 0.0 if of_output is None else g.unsqueeze(1) * of_output.unsqueeze(-2)
    total = torch.as_tensor(through) if of_drop is None else of_drop + through
    back = word_drop(total, r, ctx.drive) + bit_drop(total, r, ctx.sense)
    y = crossbar_drops(g, back, r, ctx.drive, ctx.sense, ctx.rtol, None, ctx.kernel)[0]
    of_e = total - g.unsqueeze(1) * y
    of_g = of_r = None
    if ctx.needs_input_grad[0]:
        of_g = -(drop * y).sum(1) if of_output is None else (drop * (of_output.unsqueeze(-2) - y)).sum(1)
    if ctx.needs_input_grad[2]:
        with torch.enable_grad():
            ohm = r.detach().requires_grad_()
            current = (g.unsqueeze(1) * drop).detach()
            lost = word_drop(current, ohm, ctx.drive) + bit_drop(current, ohm, ctx.sense)
            (of_r,) = torch.autograd.grad(lost, ohm, -of_e.detach())
    return of_g, of_e, of_r, None, None, None, None, None


# The plain library rather than torch.library.custom_op, whose first call imports the whole compiler (seconds).
_library = torch.library.Library("ohmlet", "FRAGMENT")
_library.define(
    "crossbar_drops(Tensor g, Tensor e, Tensor r, bool drive, bool sense, float rtol, Tensor? guess, str kernel)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_library.impl("crossbar_drops", _solve, "CompositeExplicitAutograd")
torch.library.register_fake("ohmlet::crossbar_drops", _shapes, lib=_library)
torch.library.register_autograd("ohmlet::crossbar_drops", _gradients, setup_context=_remember, lib=_library)

crossbar_drops = torch.ops.ohmlet.crossbar_drops.default
"""Voltages over cells [A, P, rows, columns], output currents [A, P, columns], bound, residual and iterations [A, P] of crossbars
g [A, rows, columns] under open-circuit voltages e [A, P, rows, columns] with r = (source, word, sense, bit); all float64."""
