"""Bound management of a pass over plain vectors, compiled: those whose outputs pass the ADC's bound are read again with smaller inputs."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ohmlet_kernels.analog_mvm.numba_loops import after
from ohmlet_kernels.analog_mvm.numba_product import accumulate
from ohmlet_kernels.analog_mvm.settings import MVM

__all__ = ["attempts", "manageable", "managed"]

MOST = 64
"""Attempts that are planned for."""


def manageable(s: MVM) -> bool:
    """Whether `managed` knows how a pass is managed: by doubling a reduction, a number of times that is known before."""
    return not s.worst_case and s.test_negative and attempts(s) <= MOST


def attempts(s: MVM) -> int:
    """Return how often inputs are reduced at most; 0 without bound management."""
    if not s.bound_management or s.out_bound == math.inf:
        return 0
    limit = min(s.max_reduction, s.max_in_resolution / s.in_step if s.in_step > 0 else math.inf)
    return MOST + 1 if limit == math.inf else max(0, math.floor(math.log2(limit)) + 1) if limit >= 1 else 0


@njit(nogil=True, cache=True, error_model="numpy")
def managed(x, across, y, scale, key, first, purposes, numbers):  # type: ignore[no-untyped-def]
    """Turn y [rows, out], the currents of x [rows, in] over scale [rows], into outputs, in place; purposes [attempts + 1, 2].

    across [in, out] are the weights turned; `numbers` the limit, step and bound of the inputs, then what `after` takes. Each attempt has a
    path of the noise to itself, and the noise of row i the ordinal first + i.
    """
    (rows, inputs), outputs, step, bound = x.shape, y.shape[1], numbers[1], numbers[2]
    keys, ordinals = np.empty(1, np.int64), np.arange(first, first + rows)
    keys[0] = key
    none, other = np.empty(0, np.float32), np.empty((1, 0, rows, outputs), np.float32)
    bits, clipped = np.empty((rows, (outputs + 7) // 8), np.uint8), np.zeros(rows, np.int32)
    currents, use, v = y.reshape(1, 1, rows, outputs), scale.copy(), np.empty((1, inputs), np.float32)
    after(0, rows, currents, other, none, use, keys, ordinals, 1, purposes[0], numbers[3:], y, bits, clipped)
    for i in range(rows):
        attempt = 0
        while clipped[i] > 0 and attempt + 1 < len(purposes):
            attempt += 1
            clipped[i] = 0
            use[i] = use[i] * np.float32(2)
            by = use[i]
            if step > np.float32(0):
                for j in range(inputs):
                    v[0, j] = min(max(np.rint(x[i, j] / by / step) * step, -bound), bound)
            else:
                for j in range(inputs):
                    v[0, j] = min(max(x[i, j] / by, -bound), bound)
            accumulate(v, across, y[i : i + 1])
            after(i, i + 1, currents, other, none, use, keys, ordinals, 1, purposes[attempt], numbers[3:], y, bits, clipped)
