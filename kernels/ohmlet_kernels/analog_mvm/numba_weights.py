"""The weights as the crossbar holds them, in compiled loops over rows: scaled, and with the noise of hardware-aware training."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise.numba import normals_of_row, padded

__all__ = ["hold", "largest_of_rows", "strengths"]

MAGNITUDE = np.int32(0x7FFFFFFF)


@njit(nogil=True, cache=True, error_model="numpy")
def largest_of_rows(first, last, w, out):  # type: ignore[no-untyped-def]
    """Fill out [rows] with the largest |w| of float32 rows [rows, in], both as their bits: these order alike, and integers vectorise."""
    for i in range(first, last):
        row, most = w[i], np.int32(0)
        for j in range(w.shape[1]):
            most = max(most, np.int32(row[j] & MAGNITUDE))
        out[i] = most


@njit(nogil=True, cache=True, error_model="numpy")
def strengths(w, divisor, std, out):  # type: ignore[no-untyped-def]
    """Fill out [crossbars, outputs] with std A, A the largest |w| / divisor of a crossbar, or 1; w [rows, in] as its bits."""
    crossbars, outputs = out.shape
    largest = np.empty(outputs, np.float32)
    for crossbar in range(crossbars):
        first = crossbar * outputs
        largest_of_rows(0, outputs, w[first : first + outputs], largest.view(np.int32))
        most = np.float32(0)
        for i in range(outputs):
            most = max(most, largest[i] / divisor[first + i])
        out[crossbar] = std * (most if most > np.float32(0) else np.float32(1))


@njit(nogil=True, cache=True, error_model="numpy")
def hold(first, last, w, divisor, strength, keys, ordinal, purpose, held, absolute):  # type: ignore[no-untyped-def]
    """Fill held [rows, in] with w / divisor + strength xi and, unless it has no size, `absolute` with its magnitude.

    Rows run over crossbars and their outputs: divisor [rows] or empty, strength [rows], keys [crossbars]; xi at (key, purpose, ordinal,
    output, input).
    """
    rows, columns = w.shape
    outputs = rows // len(keys)
    noise, pairs = np.empty(padded(columns), np.float32), np.zeros(padded(columns) // 2, np.uint64)
    for i in range(first, last):
        source, to, c = w[i], held[i], strength[i]
        if c > np.float32(0):
            normals_of_row(noise, pairs, columns, i % outputs, ordinal, np.uint64(keys[i // outputs]), purpose)
        d = divisor[i] if divisor.size else np.float32(1)
        if c > np.float32(0) and divisor.size:
            for j in range(columns):
                to[j] = source[j] / d + c * noise[j]
        elif c > np.float32(0):
            for j in range(columns):
                to[j] = source[j] + c * noise[j]
        else:
            for j in range(columns):
                to[j] = source[j] / d
        if absolute.size:
            magnitude = absolute[i]
            for j in range(columns):
                magnitude[j] = abs(to[j])
