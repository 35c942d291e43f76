"""Compiled solution of a crossbar for LANES inputs at once: float32 corrections of voltages whose error float64 proves."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.crossbar_solve.device_currents import ROUNDING
from ohmlet_kernels.crossbar_solve.numba_batch_correct import correct
from ohmlet_kernels.crossbar_solve.numba_batch_miss import add, miss
from ohmlet_kernels.crossbar_solve.numba_lanes import LANES, aligned, store

__all__ = ["scratch", "solve_batch"]

_ROUNDS = 6
_PASSES = 200
"""Iterations of one correction. What takes more is so badly conditioned that float32 gains little."""
_FIRST, _LATER = 1e-5, 1e-6
"""What corrections reduce the error to. float32 does not give more; the first need not, as another follows."""
_GAIN = 0.1
"""Of an error: a correction that leaves more was not worth its while."""
_CANCELLED = 1e-15
"""Of <f, g f>: what rounding may take from the difference of <f, g f> and <f, g P_b f>."""


def scratch(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the vectors, the float32 rows and the float64 rows of `solve_batch`."""
    line = columns * LANES
    vectors, rows_of, wide_rows = aligned((6, rows * line), np.float32), aligned((5, line), np.float32), aligned((5, line), np.float64)
    rows_of[:], wide_rows[:] = 0.0, 0.0
    return vectors, rows_of, wide_rows


@njit(nogil=True, cache=True, error_model="numpy")
def _error(square, power):  # type: ignore[no-untyped-def]
    """Return the norm that bounds the error, from <f, g f> and <f, g P_b f>."""
    return np.sqrt(max(square - power, 0.0) + _CANCELLED * square)


@njit(nogil=True, cache=True, error_model="numpy")
def solve_batch(  # type: ignore[no-untyped-def]
    g, e, light, exact, unit, reach, r, drive, sense, rtol, limit, guessed, vectors, rows_of, wide_rows, d, out, told
):
    """Fill d, out and told [inputs, ...] for at most LANES inputs as `numba_solve.solve` does for one, if float32 corrections get there.

    Returns whether all inputs have reached a bound of rtol. Those that have are left alone while others go on, so what an input comes
    to does not depend on its neighbours.
    """
    inputs, reach, scaled = d.shape[0], np.sqrt(reach), r / unit
    scale, sums, size = np.ones((2, LANES)), np.zeros((2, LANES)), np.zeros((1, LANES))
    target, spent, ahead = np.full(LANES, np.inf), np.zeros(LANES, np.int64), np.zeros(LANES, np.bool_)
    start, error, volts = np.zeros(LANES), np.zeros(LANES), np.ones(LANES)
    wide_rows[:] = 0.0
    for b in range(inputs):
        most = 0.0
        for i in range(e.shape[1]):
            for k in range(e.shape[2]):
                most = max(most, abs(e[b, i, k]))
        volts[b] = most if most > 0.0 else 1.0
        scale[0, b] = 1.0 / volts[b]
    miss(g, e, d, True, light, exact, r, drive, scale, vectors, rows_of, wide_rows, sums)
    for b in range(LANES):
        start[b], error[b] = np.sqrt(sums[0, b]), _error(sums[0, b], sums[1, b])
        ahead[b] = b < inputs
    for attempt in range(_ROUNDS):
        for b in range(LANES):
            scale[1, b] = volts[b] if ahead[b] else 0.0
        if attempt == 0 and guessed:
            # Only for what `add` says about d: f + P_w (f - f) - f is nothing.
            u = vectors[0]
        else:
            if attempt == 0:
                for b in range(inputs):
                    target[b] = max(_FIRST, 0.1 * rtol) * error[b] * np.sqrt(unit) / volts[b]
            u = correct(light, scaled, sense, vectors, rows_of, target, min(_PASSES, limit - np.max(spent)), spent)
            for b in range(inputs):
                # What is left to correct is that much smaller, and float32 has few exponents.
                gain = target[b] * volts[b] / (np.sqrt(unit) * error[b])
                volts[b] *= min(gain, 1.0) if gain > 1e-7 else 1e-7
                scale[0, b] = 1.0 / volts[b]
        store(size, 0, add(g, light, r, sense, scale, vectors, u, rows_of, wide_rows, guessed or attempt > 0, d, out))
        miss(g, e, d, False, light, exact, r, drive, scale, vectors, rows_of, wide_rows, sums)
        reached, going = True, False
        for b in range(inputs):
            left, norm = _error(sums[0, b], sums[1, b]), np.sqrt(size[0, b])
            told[b, 0] = reach * left / norm if left > 0.0 else 0.0
            told[b, 1] = left / start[b] if left > 0.0 else 0.0
            told[b, 2] = spent[b]
            done = told[b, 0] <= rtol or told[b, 1] <= ROUNDING
            reached = reached and done
            ahead[b] = ahead[b] and not done and (left <= _GAIN * error[b] or (attempt == 0 and guessed))
            going = going or ahead[b]
            error[b] = left
            least = max(0.7 * rtol * norm / reach, 0.5 * ROUNDING * start[b], _LATER * left)
            target[b] = least * np.sqrt(unit) / volts[b] if ahead[b] else np.inf
        if not going or np.max(spent) >= limit:
            break
    return reached
