"""Compiled conjugate gradients for LANES inputs at once: float32, and one passage through memory for an iteration."""

from __future__ import annotations

import numpy as np
from numba import float32, njit

from ohmlet_kernels.crossbar_solve.numba_batch_rows import advance, begin, multiply
from ohmlet_kernels.crossbar_solve.numba_lanes import LANES, load, spread, store, wide

__all__ = ["correct"]

_IDEAL = 1e-11
"""Of 1 / (largest g): segments below are taken for ideal in products, since they take less power than float32's rounding makes up."""


@njit(nogil=True, cache=True, error_model="numpy")
def correct(light, r, sense, vectors, rows_of, target, room, spent):  # type: ignore[no-untyped-def]
    """Return u, the bit-line voltages whose norm of the error is at most target [LANES], which gets what was reached.

    vectors[1] holds P_b (f - P_w f) half way, eliminated upwards (`numba_batch_lines`); f, targets and r are scaled, spent [LANES]
    counts the iterations. Residuals s and their norm are those of `numba_solve`, and A = 1 - P_b P_w is symmetric, too, in the product
    <x, y> = sum x M y with the bit lines' M = g + Z_b^-1, M A = M - g P_w. Then

        s_n+1 = omega (s_n - gamma A s_n) + (1 - omega) s_n-1,   gamma = <s, s> / <s, A s>

    and u likewise need only sums that are known when the bit lines have been eliminated, with the next coefficients then at hand on
    the way back. The next elimination takes the same way, so iterations go down and up in turn. Source: L. A. Hageman and D. M. Young,
    Applied Iterative Methods, Academic Press (1981), chapter 7.
    """
    rows, columns = light.shape[1:]
    line = columns * LANES
    g, q_word, a_word = light[0], light[1], light[2]
    e, s, s_before, u, u_before = vectors[1], vectors[2], vectors[3], vectors[4], vectors[5]
    y, v, flow, moment, nothing = rows_of[0], rows_of[1], rows_of[2], rows_of[3], rows_of[4]
    share, sums, wires = np.zeros((5, LANES), np.float32), np.zeros((3, LANES)), np.zeros(4, np.float32)
    rho, gamma, omega = np.ones(LANES), np.ones(LANES), np.ones(LANES)
    ahead = np.ones(LANES, np.bool_)
    near = r[2] + (rows - 1) * r[3]
    mho_bit, mho_end = 1.0 / r[3] if r[3] > _IDEAL else 0.0, 1.0 / r[2] if r[2] > _IDEAL else 0.0
    step = 0
    while True:
        down = step % 2 == 0
        a, q = light[6 if down else 4], light[3 if down else 5]
        y[:], flow[:], moment[:], sums[:] = 0.0, 0.0, 0.0, 0.0
        neighbours, beside = (nothing, nothing), 0
        for m in range(rows):
            i = m if down else rows - 1 - m
            base = i * line
            if step == 0:
                begin(base, a[i], q_word[i], e, y, s_before, v)
            else:
                advance(base, a[i], q_word[i], e, y, s, s_before, u, u_before, share, step == 1, v)
            # Downwards what flows in the segment behind a row; upwards what came from behind in the segment before it.
            if down:
                wires[0] = r[3] if i < rows - 1 else r[2]
            else:
                wires[0] = r[3] if i > 0 else 0.0
            wires[1] = r[2] + (rows - 1 - i) * r[3]
            wires[2] = mho_bit if m > 0 else 0.0
            wires[3] = mho_end * ((i == rows - 1) + (sense and i == 0))
            multiply(base, g[i], a_word[i], q[i], wires, v, s_before, neighbours, beside, e, flow, moment, sums)
            neighbours, beside = (s_before, e), base
        rest = spread(float32(0.0))
        far = spread(float32(1.0 / (near + r[2]) if sense and near + r[2] > 0.0 else 0.0))
        whole, two = spread(float32(near)), spread(float32(2.0))
        for k in range(0, line, LANES):
            total, lever = load(flow, k), load(moment, k)
            if not down:
                # sum r (total - behind)^2, of which the squares of what is behind were added.
                rest = rest + total * (two * lever - whole * total)
            rest = rest - lever * lever * far
        store(sums, 2 * LANES, load(sums, 2 * LANES) + wide(rest))
        s, s_before = s_before, s
        if step > 0:
            u, u_before = u_before, u
        going = False
        for b in range(LANES):
            if ahead[b] and step > 0:
                spent[b] += 1
            new, below = sums[0, b], sums[0, b] - sums[1, b]
            ahead[b] = ahead[b] and sums[2, b] > target[b] * target[b] and new > 0.0 and below > 0.0
            share[:, b] = (1.0, 0.0, 0.0, 1.0, 0.0)
            if ahead[b]:
                ratio = new / below
                omega[b] = 1.0 / (1.0 - ratio / gamma[b] * new / rho[b] / omega[b]) if step > 0 else 1.0
                rho[b], gamma[b] = new, ratio
                share[:, b] = (omega[b] * (1.0 - ratio), omega[b] * ratio, 1.0 - omega[b], omega[b], omega[b] * ratio)
                going = True
        if step > 0 and (not going or step >= room):
            break
        step += 1
    for b in range(LANES):
        target[b] = np.sqrt(max(sums[2, b], 0.0))
    return u
