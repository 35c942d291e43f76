"""The elementwise halves of a layer over plain vectors as compiled loops over rows `first` to `last`."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.analog_mvm.numba_loops import after, before
from ohmlet_kernels.analog_mvm.numba_weights import largest_of_rows

__all__ = ["drive", "errors", "sense"]


@njit(nogil=True, cache=True, error_model="numpy")
def drive(first, last, x, limit, step, bound, scale, v, codes, bits, clipped):  # type: ignore[no-untyped-def]
    """Fill scale [rows] with min(max|x|, limit) and v [rows, in] with what drives the array; codes, bits, clipped as `before` does."""
    rows, columns = x.shape
    largest_of_rows(first, last, x.view(np.int32), scale.view(np.int32))
    for i in range(first, last):
        scale[i] = limit if scale[i] > limit else scale[i]
    none, other = np.empty(0, np.float32), np.empty((1, 0, rows, columns), np.float32)
    before(first, last, x, scale, step, bound, none, v.reshape(1, 1, rows, columns), other, codes, bits, clipped)


@njit(nogil=True, cache=True, error_model="numpy")
def sense(first, last, y, scale, key, ordinals, purposes, numbers, bits, clipped):  # type: ignore[no-untyped-def]
    """Turn currents y [rows, out] into outputs, in place."""
    rows, columns = y.shape
    none, other = np.empty(0, np.float32), np.empty((1, 0, rows, columns), np.float32)
    after(first, last, y.reshape(1, 1, rows, columns), other, none, scale, key, ordinals, 1, purposes, numbers, y, bits, clipped)


@njit(nogil=True, cache=True, error_model="numpy")
def errors(first, last, gradient, divisor, scale, out_scale, bits, out):  # type: ignore[no-untyped-def]
    """Fill out [rows, out] with the gradient at the currents over the divisor [out], from that at the outputs in model units."""
    columns = gradient.shape[1]
    for i in range(first, last):
        s = max(scale[i], np.float32(0)) * out_scale
        source, to = gradient[i], out[i]
        # One rounding after each operation, as where scale, crossbar and divisor are steps of their own.
        for j in range(columns):
            to[j] = source[j] * divisor[j] * s / divisor[j]
        if bits.size:
            for j in range(columns):
                if not (bits[i, j >> 3] >> np.uint8(j & 7)) & np.uint8(1):
                    to[j] = np.float32(0)
