"""What a compiled update does for any device: count the pulses of a row's cells, order the cells by them, draw their random words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.noise.numba import _normals as normals
from ohmlet_kernels.noise.numba import _uniforms as uniforms
from ohmlet_kernels.noise.numba import philox
from ohmlet_kernels.pulsed_update.cells import BOTH, UP_ONLY

__all__ = ["BLOCK", "TILE", "count", "draw", "look", "normals", "order", "slots", "tally", "uniforms"]

TILE = 512
"""Columns worked on at once: their cells fit the innermost cache."""
BLOCK = 32
"""Cells are stepped, and normals drawn, in whole blocks."""
FEW = 2
"""Most pulses for which a pass over the columns per count is faster than sorting them by count."""
COMPARED = 24
"""Most pulses for which comparing all counts with each number is faster than a histogram."""

MASK, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
COLUMN_BITS = np.uint64(c.COLUMN_BITS)
# Indices are unsigned, for which numba does not look whether they are negative, which keeps loops from being vectorised.
TILE_1, TILE_2, TILE_3 = np.uint64(TILE), np.uint64(2 * TILE), np.uint64(3 * TILE)
ANY, UPWARD = np.int64(BOTH), np.int64(UP_ONLY)


def _counted(context, value):  # type: ignore[no-untyped-def]
    """Return how many bits of an int32 are set."""

    def generate(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.int32(types.int32), generate


_ones: Any = intrinsic(_counted)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def count(n, sample, row, first, width, x, d, x_real, d_real, period, x_negative, d_negative, select):  # type: ignore[no-untyped-def]
    """Fill n int32 with the pulses of the cells of a row from column `first` on; return the largest.

    x int32 [S, W, in] and d int64 [out, S, W], or, with a period, x_real [S, in] and d_real [out, S]; signs likewise.
    """
    most = np.int32(0)
    if len(period) == 0:
        silent = np.int64(0)
        for word in range(d.shape[2]):
            silent |= d[row, sample, word]
        if silent == 0:
            return 0
        bits = np.int32(d[row, sample, 0])
        for j in range(width):
            ones = _ones(np.int32(bits & x[sample, 0, np.uint64(first + j)]))
            n[j] = ones
            most = max(most, ones)
        if d.shape[2] == 1 and select == ANY:
            return np.int64(most)
        for word in range(1, d.shape[2]):
            bits = np.int32(d[row, sample, word])
            for j in range(width):
                n[j] = np.int32(n[j] + _ones(np.int32(bits & x[sample, word, np.uint64(first + j)])))
    else:
        drive, unit = d_real[row, sample], period[sample]
        for j in range(width):
            n[j] = np.int32(np.rint(drive * x_real[sample, np.uint64(first + j)] / unit))
    if select != ANY:
        negative = d_negative[row, sample] != (select == UPWARD)
        for j in range(width):
            n[j] = n[j] if x_negative[sample, np.uint64(first + j)] == negative else np.int32(0)
    most = np.int32(0)
    for j in range(width):
        most = max(most, n[j])
    return np.int64(most)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def look(w, row, first, width, done, looked, after, at, by_columns, seen):  # type: ignore[no-untyped-def]
    """Copy what looks see of a row's cells from column `first` on that are due after `done` samples; return the next look."""
    while looked < len(after) and after[looked] <= done:
        which = at[looked]
        if by_columns:
            if first <= which < first + width:
                seen[looked, row] = w[row, which]
        elif which == row:
            seen[looked, first : first + width] = w[row, first : first + width]
        looked += 1
    return looked


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def order(n, width, most, active, place, by):  # type: ignore[no-untyped-def]
    """Fill `by` with columns in the order of their pulses, most first, and active[k] with how many have more than k; return active[0].

    `by` is filled up to whole blocks with its first column.
    """
    if most <= COMPARED:
        for k in range(most):
            more = np.int32(0)
            for j in range(width):
                more = np.int32(more + np.int32(n[j] > np.int32(k)))
            active[k] = more
    else:
        for k in range(most + 1):
            active[k] = 0
        for j in range(width):
            active[np.uint64(n[j])] += np.int32(1)
        more = np.int32(0)
        for k in range(most, 0, -1):
            more = np.int32(more + active[k])
            active[k] = np.int32(more - active[k])
        active[0] = more
    cells = np.int64(active[0])
    if most <= FEW:
        at = np.uint64(0)
        for value in range(most, 0, -1):
            for j in range(width):
                by[at] = np.int32(j)
                at = np.uint64(at + np.uint64(n[j] == np.int32(value)))
    else:
        for k in range(most):
            place[k] = active[k]
        place[most] = 0
        for j in range(width):
            pulses = np.uint64(n[j])
            free = np.uint64(place[pulses])
            by[free] = np.int32(j)
            place[pulses] = np.int32(free + np.uint64(1))
    for i in range(cells, (cells + BLOCK - 1) // BLOCK * BLOCK):
        by[i] = by[0]
    return cells


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def draw(words, by, first, cells, row, block, ordinal, key, purpose):  # type: ignore[no-untyped-def]
    """Fill words uint32 [4 TILE] with the four random words of a block of pulses for each cell, word by word."""
    high, low = (ordinal >> S32) << COLUMN_BITS, ordinal & MASK
    at_row = (np.uint64(row) | (np.uint64(block) << COLUMN_BITS)) & MASK
    k0, k1 = key & MASK, key >> S32
    for i in range(cells):
        a, b, e, g = philox((np.uint64(first + by[i]) | high) & MASK, at_row, low, purpose, k0, k1)
        at = np.uint64(i)
        words[at] = np.uint32(a)
        words[at + TILE_1] = np.uint32(b)
        words[at + TILE_2] = np.uint32(e)
        words[at + TILE_3] = np.uint32(g)


@njit(nogil=True, cache=True, error_model="numpy")
def tally(pulses, row, first, width, n, x_negative, d_negative, select):  # type: ignore[no-untyped-def]
    """Add the pulses of a row's cells to the counters [2, out, in], up and down."""
    for j in range(width):
        up = select != ANY or x_negative[first + j] != d_negative
        pulses[0, row, first + j] += np.int64(n[j]) if up else 0
        pulses[1, row, first + j] += 0 if up else np.int64(n[j])


@njit(nogil=True, cache=True, error_model="numpy")
def slots(first, last, out, thresholds, lengths, ordinals, key, purpose):  # type: ignore[no-untyped-def]
    """Fill out int64 [S, n, W] with the trains of samples first to last, as `reference.pulse_bits` states them."""
    lines = thresholds.shape[1]
    k0, k1 = key & MASK, key >> S32
    for sample in range(first, last):
        ordinal = np.uint64(ordinals[sample])
        high, low = (ordinal >> S32) << COLUMN_BITS, ordinal & MASK
        for word in range(out.shape[2]):
            for line in range(lines):
                out[sample, line, word] = 0
            inside = min(np.int64(32), lengths[sample] - 32 * word)
            for quad in range((inside + 3) // 4):
                column = (np.uint64(8 * word + quad) | high) & MASK
                left = inside - 4 * quad
                keep = (np.int64(1) << min(np.int64(4), left)) - np.int64(1)
                shift = np.int64(4 * quad)
                for line in range(lines):
                    a, b, e, g = philox(column, np.uint64(line), low, purpose, k0, k1)
                    threshold = thresholds[sample, line]
                    fires = np.int64(np.int64(a >> np.uint64(8)) < threshold)
                    fires |= np.int64(np.int64(b >> np.uint64(8)) < threshold) << np.int64(1)
                    fires |= np.int64(np.int64(e >> np.uint64(8)) < threshold) << np.int64(2)
                    fires |= np.int64(np.int64(g >> np.uint64(8)) < threshold) << np.int64(3)
                    out[sample, line, word] |= (fires & keep) << shift
