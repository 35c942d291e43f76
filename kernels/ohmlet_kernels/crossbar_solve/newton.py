"""Crossbars of nonlinear cells by Newton's method."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve.device_currents import ROUNDING
from ohmlet_kernels.crossbar_solve.iv import IV
from ohmlet_kernels.crossbar_solve.op import ConvergenceError, crossbar_drops
from ohmlet_kernels.crossbar_solve.wires import bit_drop, word_drop

__all__ = ["newton"]

_STEPS = 100
_LOOSE = 1e-3
_HALVINGS = 40
Told = tuple[Tensor, Tensor, Tensor]


class _Circuit:
    """What Newton's method asks of a crossbar."""

    def __init__(self, g: Tensor, e: Tensor, r: Tensor, access: Tensor, drive: bool, sense: bool, iv: IV, kernel: str) -> None:
        self.g, self.e, self.r, self.access, self.iv = g, e, r, access, iv
        self.drive, self.sense, self.kernel = drive, sense, kernel

    def miss(self, v: Tensor, current: Tensor) -> Tensor:
        """Return what Kirchhoff's voltage law is missed by in V."""
        return self.e - v - self.access * current - word_drop(current, self.r, self.drive) - bit_drop(current, self.r, self.sense)

    def slope(self, v: Tensor) -> Tensor:
        """Return dI/dV of every cell."""
        slope = self.iv.slope(v, self.g).expand(v.shape)
        if not bool((slope >= 0).all()) or not bool(slope.isfinite().all()):
            at = torch.nonzero(~(slope >= 0) | ~slope.isfinite())[0].tolist()
            here = f"{float(slope[tuple(at)]):g} S at {float(v[tuple(at)]):g} V"
            raise ValueError(
                f"the current of cell {at} has slope {here}: it must be finite and must not fall with the voltage, or the crossbar has"
                " several states; check the coefficients, or apply smaller voltages"
            )
        return slope

    def step(self, slope: Tensor, miss: Tensor, rtol: float) -> Tensor:
        """Return the change of the cell voltages that cancels the miss, to first order."""
        share = 1 + self.access * slope
        cells = miss.shape[-2:]
        arrays, volts = (slope / share).reshape(-1, *cells), miss.reshape(-1, 1, *cells)
        drop: Tensor = crossbar_drops(arrays.contiguous(), volts, self.r, self.drive, self.sense, rtol, None, self.kernel)[0]
        return drop.reshape(miss.shape) / share


def newton(
    g: Tensor, e: Tensor, r: Tensor, access: Tensor, drive: bool, sense: bool, rtol: float, iv: IV, start: Tensor | None, kernel: str
) -> tuple[Tensor, Told]:
    """Return the voltages over the devices [..., P, rows, columns], with bound, residual and iterations [..., P].

    A step solves the crossbar of the slopes, at first loosely and then as exactly as the residual has become small, and is halved
    until the residual falls. The bound takes the larger of slope and chord for the conductance. The last step is differentiated: at
    the solution its derivatives are those of the solution.
    """
    if e.numel() == 0:
        some = e.new_zeros(e.shape[:-2])
        return e.clone(), (some, some.clone(), some.long())
    with torch.no_grad():
        circuit = _Circuit(g, e, r, access, drive, sense, iv, kernel)
        v = torch.zeros_like(e, memory_format=torch.contiguous_format) if start is None else start.clone()
        current = iv.current(v, g)
        miss = circuit.miss(v, current)
        spent = torch.zeros(e.shape[:-2], dtype=torch.int64, device=e.device)
        while True:
            slope = circuit.slope(v)
            # Chords too, lest a slope given too small makes a large miss look small.
            chord = torch.where(v == 0, slope, (current / v).abs())
            weight = torch.maximum(slope, chord)
            weight = weight / (1 + access * weight)
            scale, left = _norm(weight, e), _norm(weight, miss)
            error = weight.sum(-2).amax(-1).sqrt() * left
            bound = torch.where(error == 0, 0.0, error / current.sum(-2).norm(dim=-1))
            residual = torch.where(left == 0, 0.0, left / scale)
            ahead = ~((bound <= rtol) | (residual <= ROUNDING))
            if not bool(ahead.any()):
                break
            if int(spent.max()) >= _STEPS:
                raise _stuck(ahead, spent, residual, "in so many steps")
            closeness = float(torch.where(ahead, residual, 0.0).amax())
            exact = min(_LOOSE, max(closeness if math.isfinite(closeness) else _LOOSE, 0.1 * rtol, 1e-12))
            change = circuit.step(slope, miss, exact)
            length = ahead.to(e.dtype)
            for _ in range(_HALVINGS):
                trial = v + length[..., None, None] * change
                current = iv.current(trial, g)
                tried = circuit.miss(trial, current)
                worse = ahead & ~(_norm(weight, tried) < left)
                if not bool(worse.any()):
                    break
                length = torch.where(worse, 0.5 * length, length)
            else:
                raise _stuck(worse, spent, residual, "however short the step")
            v, miss, spent = trial, tried, spent + ahead
    if torch.is_grad_enabled():
        attached = circuit.miss(v, iv.current(v, g))
        if attached.requires_grad:
            v = v + circuit.step(slope, attached, rtol)
    return v, (bound, residual, spent)


def _norm(weight: Tensor, x: Tensor) -> Tensor:
    return (weight * x.square()).sum((-1, -2)).sqrt()


def _stuck(which: Tensor, spent: Tensor, residual: Tensor, why: str) -> ConvergenceError:
    found = f"{int(which.sum())} inputs after {int(spent.max())} steps, residual {float(residual[which].max()):.1e}, {why}"
    return ConvergenceError(
        f"Newton's method did not find the currents of {found}: check that slope(v, g) is the derivative of current(v, g), and that the"
        " voltages lie where the characteristic holds"
    )
