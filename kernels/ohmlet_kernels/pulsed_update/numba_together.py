"""What a compiled update does for cells of several rows at once: collect those that one sample pulses, draw their random words, look."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.noise.numba import philox
from ohmlet_kernels.pulsed_update.numba_loops import BLOCK, TILE, _ones, order

__all__ = ["collect", "compare", "draw_for", "look_at_all", "sort", "take"]

MASK, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
COLUMN_BITS = np.uint64(c.COLUMN_BITS)
TILE_1, TILE_2, TILE_3 = np.uint64(TILE), np.uint64(2 * TILE), np.uint64(3 * TILE)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def collect(bits, x, row, held, n, at_row, at_column):  # type: ignore[no-untyped-def]
    """Add the cells of a row, with trains `bits` and x int32 [in], that get pulses to the `held` ones; return how many there are then.

    Arrays of TILE + 1 numbers: the one behind the last is written.
    """
    end = np.uint64(held)
    for j in range(len(x)):
        at_column[end] = np.uint32(j)
        end += np.uint64((bits & x[np.uint64(j)]) != 0)
    for i in range(held, np.int64(end)):
        at = np.uint64(i)
        at_row[at] = np.uint32(row)
        n[at] = _ones(np.int32(bits & x[np.uint64(at_column[at])]))
    return np.int64(end)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def sort(n, held, active, place, by):  # type: ignore[no-untyped-def]
    """Fill `by` and `active` as `order` does for cells that all get pulses; return the largest number of pulses."""
    most = np.int32(0)
    for i in range(held):
        most = max(most, n[i])
    if most > 1:
        order(n, held, np.int64(most), active, place, by)
        return np.int64(most)
    active[0] = held
    for i in range(held):
        by[i] = np.int32(i)
    for i in range(held, (held + BLOCK - 1) // BLOCK * BLOCK):
        by[i] = np.int32(0)
    return np.int64(most)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def take(held, by, rows, columns, at_row, at_column):  # type: ignore[no-untyped-def]
    """Fill the rows and columns of the held cells in the order `by`, up to whole blocks."""
    for number in range((held + BLOCK - 1) // BLOCK * BLOCK):
        i = np.uint64(number)
        which = np.uint64(by[i])
        at_row[i] = rows[which]
        at_column[i] = columns[which]


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def compare(held, x_negative, d_negative, at_row, at_column, up):  # type: ignore[no-untyped-def]
    """Fill `up` of the held cells with whether the signs bool [in] of inputs and [out] of errors differ."""
    for number in range(held):
        i = np.uint64(number)
        up[i] = np.int32(x_negative[np.uint64(at_column[i])] != d_negative[np.uint64(at_row[i])])


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def draw_for(words, rows, columns, cells, block, ordinal, key, purpose):  # type: ignore[no-untyped-def]
    """Fill words uint32 [4 TILE] with the four random words of a block of pulses for cells at `rows` and `columns`, word by word."""
    high, low = (ordinal >> S32) << COLUMN_BITS, ordinal & MASK
    blocks = np.uint64(block) << COLUMN_BITS
    k0, k1 = key & MASK, key >> S32
    for i in range(cells):
        at = np.uint64(i)
        a, b, e, g = philox((np.uint64(columns[at]) | high) & MASK, (np.uint64(rows[at]) | blocks) & MASK, low, purpose, k0, k1)
        words[at] = np.uint32(a)
        words[at + TILE_1] = np.uint32(b)
        words[at + TILE_2] = np.uint32(e)
        words[at + TILE_3] = np.uint32(g)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def look_at_all(w, done, looked, after, at, by_columns, seen):  # type: ignore[no-untyped-def]
    """Copy what looks see of w [out, in] that are due after `done` samples; return the next look."""
    while looked < len(after) and after[looked] <= done:
        which = at[looked]
        if by_columns:
            for row in range(len(w)):
                seen[looked, row] = w[row, which]
        else:
            seen[looked] = w[which]
        looked += 1
    return looked
