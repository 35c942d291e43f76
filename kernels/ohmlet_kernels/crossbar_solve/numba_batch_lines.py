"""What batches of inputs share of a crossbar: its lines, eliminated from either end."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.crossbar_solve.numba_lines import step

__all__ = ["factor_both"]


@njit(nogil=True, cache=True, error_model="numpy")
def factor_both(g, r, drive, sense, light, exact):  # type: ignore[no-untyped-def]
    """Fill light [7, rows, columns] and exact [2, rows, columns]; return the unit that light counts g in, 1/S, and the largest reach.

    light, float32: g, then q and a of word lines (`numba_lines`), then q and a of bit lines eliminated from row 0 downwards, then the
    same from the last row upwards; exact, float64: q and c upwards. c_k^2 = Y_k^2 / (Y_k + 1/r) makes the product

        <x, g P_b x> = sum (c_k E_k)^2

    known when the elimination of x has passed, before its voltages P_b x are.
    """
    rows, columns = g.shape
    most = 0.0
    for i in range(rows):
        for k in range(columns):
            most = max(most, g[i, k])
    unit = 1.0 / most if most > 0.0 else 1.0
    for i in range(rows):
        beyond = 1.0 / r[0] if drive else 0.0
        for k in range(columns - 1, -1, -1):
            light[1, i, k], light[2, i, k], beyond = step(g[i, k], beyond, r[1] if k > 0 else r[0])
            light[0, i, k] = g[i, k] * unit
    far, total = np.full(columns, 1.0 / r[2] if sense else 0.0), np.zeros(columns)
    for i in range(rows):
        segment = r[3] if i < rows - 1 else r[2]
        for k in range(columns):
            light[3, i, k], light[4, i, k], far[k] = step(g[i, k], far[k], segment)
            total[k] += g[i, k]
    reach = np.max(total) if sense else np.max(far)
    far[:] = 1.0 / r[2]
    for i in range(rows - 1, -1, -1):
        segment = r[3] if i > 0 else r[2]
        for k in range(columns):
            y = g[i, k] + far[k]
            q, a, far[k] = step(g[i, k], far[k], segment)
            c = y * np.sqrt(segment * a) if y < np.inf else 0.0
            if i == 0 and not sense:
                # A line that is sensed at its other end only stops here.
                a, c = 0.0, np.sqrt(y) if y < np.inf else 0.0
            light[5, i, k], light[6, i, k], exact[0, i, k], exact[1, i, k] = q, a, q, c
    return unit, reach
