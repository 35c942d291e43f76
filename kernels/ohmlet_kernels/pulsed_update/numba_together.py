"""What a compiled update does for cells of several rows at once: collect those that one sample pulses, draw their random words, look."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.noise.numba import philox
from ohmlet_kernels.pulsed_update.numba_lanes import COUNT_AT, LANES, joined, picked
from ohmlet_kernels.pulsed_update.numba_loops import TILE

__all__ = ["collect", "draw_first", "draw_for", "look_at_all", "parted", "place", "sort"]

MASK, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
COLUMN_BITS = np.uint64(c.COLUMN_BITS)
TILE_1, TILE_2, TILE_3 = np.uint64(TILE), np.uint64(2 * TILE), np.uint64(3 * TILE)
COUNT, PLACE = np.int32(COUNT_AT), np.int32((1 << COUNT_AT) - 1)
ONE = np.int32(1)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def collect(bits, code, words, codes, lines, ends, once, often):  # type: ignore[no-untyped-def]
    """Add the cells of a row that get pulses, as `joined` does, for all `lines` that fire among the columns; return where the keys end.

    Words are zero behind these, up to a multiple of LANES.
    """
    for first in range(0, lines, LANES):
        ends = joined(words, codes, np.uint64(first), bits, code, ends, once, often)
    return ends


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def parted(ends):  # type: ignore[no-untyped-def]
    """Return how many cells get one pulse, and how many more."""
    return np.int64(ends & MASK), np.int64(ends >> S32)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def sort(often, count, others, active, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the keys of the cells that get several pulses, most first; return the largest number of pulses.

    active[k] becomes how many cells get more than k pulses, the `others` with one among them. Arrays have room for LANES more.
    """
    most = np.int32(0)
    for i in range(count):
        most = max(most, np.int32(often[np.uint64(i)] >> COUNT))
    for i in range(count, (count + LANES - 1) // LANES * LANES):
        often[np.uint64(i)] = 0
    end = np.uint64(0)
    for pulses in range(most, 0, -1):
        for first in range(0, count, LANES):
            end = picked(often, np.uint64(first), np.int32(pulses), out, end)
        active[np.uint64(pulses)] = np.int32(end)
    active[0] = np.int32(count + others)
    return np.int64(most) + 1


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def place(keys, count, first, shift, columns, at_row, at_column, up, at):  # type: ignore[no-untyped-def]
    """Fill what `count` keys tell, from `first` on: rows, columns, directions, and places in an array [out, in] of so many `columns`.

    Below its count a key is (row << shift | column) << 1 | up.
    """
    below = np.int32(np.int32(ONE << shift) - ONE)
    for number in range(count):
        i = np.uint64(number)
        key = np.int32(keys[i] & PLACE)
        row, column = np.int32(np.int32(key >> ONE) >> shift), np.int32(np.int32(key >> ONE) & below)
        to = np.uint64(first + number)
        at_row[to] = np.uint32(row)
        at_column[to] = np.uint32(column)
        up[to] = np.int32(key & ONE)
        at[to] = np.int32(np.int32(row * columns) + column)


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
def draw_first(words, rows, columns, first, cells, block, ordinal, key, purpose):  # type: ignore[no-untyped-def]
    """Fill words with the first of the four random words that `draw_for` draws, for the cells from `first` on."""
    high, low = (ordinal >> S32) << COLUMN_BITS, ordinal & MASK
    blocks = np.uint64(block) << COLUMN_BITS
    k0, k1 = key & MASK, key >> S32
    for i in range(first, cells):
        at = np.uint64(i)
        a, _, _, _ = philox((np.uint64(columns[at]) | high) & MASK, (np.uint64(rows[at]) | blocks) & MASK, low, purpose, k0, k1)
        words[at] = np.uint32(a)


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
