"""Compiled solution of a crossbar for one input: conjugate gradients with exact word and bit lines in turn."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.crossbar_solve.device_currents import ROUNDING
from ohmlet_kernels.crossbar_solve.numba_lines import BLOCK, FAST, bit_lines, miss, word_lines

__all__ = ["solve"]

_ROUNDS = 5
_IDEAL = 1e-22
"""Of 1 / (sum of g): segments below are taken for ideal in products, since they take less power than rounding makes up."""


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def _correct(g, lines, r, sense, d, vectors, target, floor, room, out):  # type: ignore[no-untyped-def]
    """Add to d the solution for the voltages in vectors[0], which is overwritten, and return the iterations spent.

    Bit-line voltages u and word-line voltages w = P_w (u - f) make d = f + w - u, and u = P_b (w + f) is solved for, P_w and P_b being
    the exact lines. A = 1 - P_b P_w is symmetric in the product <x, y> = sum x M y with the bit lines' M = g + Z_b^-1, the power in
    cells and segments: M A = M - g P_w. The residual s leaves <s, (g + g Z_b g) s> as the square of the error in the norm that bounds
    it, which the same pass accumulates: Z_b is the power in the segments.
    """
    qw, aw, qb, ab = lines
    s, p, h, t = vectors
    rows, columns = g.shape
    v, flow, moment = np.zeros(BLOCK), np.zeros(columns), np.zeros(columns)
    whole, total = 2.0 * r[2] + (rows - 1) * r[3], 0.0
    for i in range(rows):
        for k in range(columns):
            p[i, k] = -s[i, k]
            total += g[i, k]
    word_lines(0, rows, qw, aw, p, t, v)
    for i in range(rows):
        for k in range(columns):
            p[i, k] = t[i, k] - p[i, k]
            d[i, k] += p[i, k]
    bit_lines(qb, ab, p, s)
    alpha, before, spent = 0.0, 0.0, 0
    mho = 1.0 / r[3] if r[3] * total > _IDEAL else 0.0
    mho_end = 1.0 / r[2] if r[2] * total > _IDEAL else 0.0
    while True:
        flow[:], moment[:], out[:] = 0.0, 0.0, 0.0
        square, rho = 0.0, 0.0
        for start in range(0, rows, BLOCK):
            stop = min(start + BLOCK, rows)
            for i in range(start, stop):
                segment = r[3] if i < rows - 1 else r[2]
                along = r[2] + (rows - 1 - i) * r[3]
                if spent > 0:
                    for k in range(columns):
                        d[i, k] += alpha * (h[i, k] - p[i, k])
                        s[i, k] -= alpha * (p[i, k] - t[i, k])
                end = mho_end * ((i == rows - 1) + (sense and i == 0))
                for k in range(columns):
                    current = g[i, k] * s[i, k]
                    flow[k] += current
                    moment[k] += current * along
                    square += current * s[i, k] + segment * flow[k] * flow[k]
                    rho += (g[i, k] + end) * s[i, k] * s[i, k]
                    out[k] += g[i, k] * d[i, k]
                for k in range(columns if i > 0 else 0):
                    rho += mho * (s[i, k] - s[i - 1, k]) ** 2
            word_lines(start, stop, qw, aw, s, t, v)
        if sense and whole > 0.0:
            for k in range(columns):
                square -= moment[k] * moment[k] / whole
        size = 0.0
        for k in range(columns):
            size += out[k] * out[k]
        if square <= max(target * target * size, floor * floor) or spent >= room or not rho > 0.0:
            return spent
        beta = rho / before if spent > 0 else 0.0
        below = 0.0
        for i in range(rows):
            if spent == 0:
                # Not by way of beta = 0: h holds anything yet, NaN included.
                p[i], h[i] = s[i], t[i]
            else:
                for k in range(columns):
                    p[i, k] = s[i, k] + beta * p[i, k]
                    h[i, k] = t[i, k] + beta * h[i, k]
            end = mho_end * ((i == rows - 1) + (sense and i == 0))
            for k in range(columns):
                below += p[i, k] * (g[i, k] * (p[i, k] - h[i, k]) + end * p[i, k])
            for k in range(columns if i > 0 else 0):
                below += mho * (p[i, k] - p[i - 1, k]) ** 2
        bit_lines(qb, ab, h, t)
        if not below > 0.0:
            return spent
        alpha, before = rho / below, rho
        spent += 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def solve(g, e, lines, reach, r, drive, sense, rtol, limit, guessed, d, vectors, out, told):  # type: ignore[no-untyped-def]
    """Fill d [rows, columns] with the voltages over the cells and out [columns] with the bit lines' currents.

    told gets the bound on the relative error of `out`, the relative residual and the iterations. The bound comes from d alone: with
    f = e - d - Z (g d), the error of a column's current is at most sqrt(reach <f, g (1 - P_b) f>).
    """
    rows, columns = g.shape
    f, t = vectors[0], vectors[3]
    scale = 0.0
    for i in range(rows):
        for k in range(columns):
            scale += g[i, k] * e[i, k] * e[i, k]
    scale, reach = np.sqrt(scale), np.sqrt(reach)
    spent, bound, residual = 0, 0.0, 0.0
    if not guessed:
        d[:] = 0.0
    for attempt in range(_ROUNDS):
        if attempt > 0 or guessed:
            miss(g, e, d, r, drive, sense, f)
            bit_lines(lines[2], lines[3], f, t)
            out[:] = 0.0
            square, size = 0.0, 0.0
            for i in range(rows):
                for k in range(columns):
                    square += g[i, k] * f[i, k] * (f[i, k] - t[i, k])
                    out[k] += g[i, k] * d[i, k]
            for k in range(columns):
                size += out[k] * out[k]
            error = np.sqrt(max(square, 0.0))
            bound = reach * error / np.sqrt(size) if error > 0.0 else 0.0
            residual = error / scale if error > 0.0 else 0.0
            if bound <= rtol or residual <= ROUNDING or spent >= limit:
                break
        else:
            for i in range(rows):
                for k in range(columns):
                    f[i, k] = e[i, k]
        target = 0.7 * rtol / reach if reach > 0.0 else 0.0
        spent += _correct(g, lines, r, sense, d, vectors, target, 0.5 * ROUNDING * scale, limit - spent, out)
    for i in range(rows):
        for k in range(columns):
            # What carries no current was not iterated on, but it sees a voltage: the sum of the others' drops.
            if g[i, k] == 0.0:
                d[i, k] += f[i, k]
    told[0], told[1], told[2] = bound, residual, spent
