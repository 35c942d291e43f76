"""Compiled solutions of single lines: all word lines of a crossbar with its bit lines held, and the other way round.

A line is a ladder: conductances g_k to nodes of given voltage x_k, segments r between its cells. Seen from its far end,

    Y_k = g_k + Y_k+1 / (1 + r Y_k+1)          conductance of cell k and everything beyond
    E_k = E_k+1 + q_k (x_k - E_k+1)            its open-circuit voltage, q_k = g_k / Y_k
    V_k = E_k + a_k (V_k-1 - E_k)              voltage of the node, a_k = 1 / (1 + r Y_k)

Nothing is subtracted but voltages, whose means are taken, so results are accurate for any wires, r = 0 and g = 0 included.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["FAST", "bit_lines", "factor", "miss", "step", "word_lines"]

FAST = {"contract", "reassoc", "nsz"}
"""Sums may be reordered; infinities and NaN keep their meaning."""
BLOCK = 8
"""Word lines that are solved side by side, since each step of one waits for the step before."""
STRIP = 64
"""Columns whose bit lines are solved together: as many as stay in the cache between the way down and the way up."""


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def step(g, beyond, segment):  # type: ignore[no-untyped-def]
    """Return q and a of a cell, and the conductance at the other end of its segment; `beyond` is infinite where a source holds it."""
    y = g + beyond
    if y <= 0.0:
        return 0.0, 1.0, 0.0
    if y == np.inf:
        return 0.0, 0.0, 1.0 / segment
    a = 1.0 / (1.0 + segment * y)
    return g / y, a, y * a


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def factor(g, r, drive, sense, qw, aw, qb, ab):  # type: ignore[no-untyped-def]
    """Fill q and a of word and of bit lines for g [rows, columns] and r = (source, word, sense, bit); return the largest reach.

    A column's reach is the current that its bit line would take from word lines at 1 V.
    """
    rows, columns = g.shape
    for i in range(rows):
        beyond = 1.0 / r[0] if drive else 0.0
        for k in range(columns - 1, -1, -1):
            qw[i, k], aw[i, k], beyond = step(g[i, k], beyond, r[1] if k > 0 else r[0])
    far, total = np.full(columns, 1.0 / r[2] if sense else 0.0), np.zeros(columns)
    for i in range(rows):
        segment = r[3] if i < rows - 1 else r[2]
        for k in range(columns):
            qb[i, k], ab[i, k], far[k] = step(g[i, k], far[k], segment)
            total[k] += g[i, k]
    return np.max(total) if sense else np.max(far)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def word_lines(first, last, q, a, x, y, last_voltage):  # type: ignore[no-untyped-def]
    """Fill y with voltages of word lines `first` to `last`, with grounded sources and bit lines at x; last_voltage [BLOCK] is scratch."""
    columns, v = q.shape[1], last_voltage
    start = first
    while start + BLOCK <= last:
        v[:] = 0.0
        for k in range(columns - 1, -1, -1):
            for b in range(BLOCK):
                v[b] += q[start + b, k] * (x[start + b, k] - v[b])
                y[start + b, k] = v[b]
        v[:] = 0.0
        for k in range(columns):
            for b in range(BLOCK):
                e = y[start + b, k]
                v[b] = e + a[start + b, k] * (v[b] - e)
                y[start + b, k] = v[b]
        start += BLOCK
    for i in range(start, last):
        at = 0.0
        for k in range(columns - 1, -1, -1):
            at += q[i, k] * (x[i, k] - at)
            y[i, k] = at
        at = 0.0
        for k in range(columns):
            at = y[i, k] + a[i, k] * (at - y[i, k])
            y[i, k] = at


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def bit_lines(q, a, x, y):  # type: ignore[no-untyped-def]
    """Fill y with the voltages of bit lines sensed at ground, with word lines at x."""
    rows, columns = q.shape
    for first in range(0, columns, STRIP):
        last = min(columns, first + STRIP)
        for c in range(first, last):
            y[0, c] = q[0, c] * x[0, c]
        for i in range(1, rows):
            for c in range(first, last):
                y[i, c] = y[i - 1, c] + q[i, c] * (x[i, c] - y[i - 1, c])
        for c in range(first, last):
            y[rows - 1, c] *= 1.0 - a[rows - 1, c]
        for i in range(rows - 2, -1, -1):
            for c in range(first, last):
                y[i, c] += a[i, c] * (y[i + 1, c] - y[i, c])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def miss(g, e, d, r, drive, sense, f):  # type: ignore[no-untyped-def]
    """Fill f with e - d - Z (g d), what voltages d over the cells miss Kirchhoff's voltage law by around each cell's loop."""
    rows, columns = g.shape
    whole = 2.0 * r[0] + (columns - 1) * r[1]
    for i in range(rows):
        current, moment = 0.0, 0.0
        for k in range(columns):
            current += g[i, k] * d[i, k]
            moment += g[i, k] * d[i, k] * (r[0] + k * r[1])
        share = moment / whole if drive and whole > 0.0 else 0.0
        current -= share
        drop, segment = 0.0, r[0]
        for k in range(columns):
            drop += segment * current
            current -= g[i, k] * d[i, k]
            f[i, k] = e[i, k] - d[i, k] - drop
            segment = r[1]
    whole = 2.0 * r[2] + (rows - 1) * r[3]
    currents, moments, drops = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    for i in range(rows):
        along = r[2] + (rows - 1 - i) * r[3]
        for k in range(columns):
            currents[k] += g[i, k] * d[i, k]
            moments[k] += g[i, k] * d[i, k] * along
    if sense and whole > 0.0:
        for k in range(columns):
            currents[k] -= moments[k] / whole
    for i in range(rows - 1, -1, -1):
        segment = r[3] if i < rows - 1 else r[2]
        for k in range(columns):
            drops[k] += segment * currents[k]
            currents[k] -= g[i, k] * d[i, k]
            f[i, k] -= drops[k]
