"""Normals for several rows of outputs at a time in compiled loops: one row alone may be too short to fill the processor's lanes."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise.constants import COLUMN_BITS
from ohmlet_kernels.noise.numba import MASK, S32, padded, philox
from ohmlet_kernels.noise.numba import _normals as normals

__all__ = ["normals_of_rows", "room", "rows_at_once"]

COUNTERS = 256
"""Counters drawn at once: what they fill stays in the nearest cache."""
HIGH = np.uint64(COLUMN_BITS)


@njit(inline="always")
def _quads(columns):  # type: ignore[no-untyped-def]
    """Return the counters of one row, four normals each."""
    return (columns + 3) // 4


@njit(inline="always")
def rows_at_once(columns):  # type: ignore[no-untyped-def]
    """Return how many rows are worth drawing together."""
    return max(1, COUNTERS // _quads(columns))


@njit(nogil=True, cache=True, error_model="numpy")
def room(rows, columns):  # type: ignore[no-untyped-def]
    """Return room for the normals of so many rows [rows, at least columns], and for what `normals_of_rows` makes them of."""
    width = 4 * _quads(columns)
    size = padded(rows * width)
    # Normals are made in whole blocks: rows beyond those asked for take up what is left of the last one.
    out = np.empty(((size + width - 1) // width, width), np.float32)
    return out, np.empty(size, np.float32), np.zeros(size // 2, np.uint64), np.empty((5, rows), np.uint64)


@njit(nogil=True, cache=True, error_model="numpy")
def _addressed(at, first, last, keys, ordinals, positions):  # type: ignore[no-untyped-def]
    """Fill at [5, last - first] with high bits of the ordinal, row, low bits, and both halves of the key."""
    per_key = len(ordinals) * positions
    for n in range(last - first):
        lead = (first + n) // per_key
        within = first + n - lead * per_key
        sample = within // positions
        key, ordinal = np.uint64(keys[lead]), np.uint64(ordinals[sample])
        at[0, n] = (ordinal >> S32) << HIGH
        at[1, n] = np.uint64(within - sample * positions) & MASK
        at[2, n] = ordinal & MASK
        at[3, n] = key & MASK
        at[4, n] = key >> S32


@njit(nogil=True, cache=True, error_model="numpy")
def _along(pairs, quads, count, at, purpose):  # type: ignore[no-untyped-def]
    """Fill pairs, two words in each, with the words of `count` rows of `quads` counters, row by row."""
    for n in range(count):
        first, high, row, low, k0, k1 = 2 * quads * n, at[0, n], at[1, n], at[2, n], at[3, n], at[4, n]
        for quad in range(quads):
            a, b, e, g = philox((np.uint64(quad) | high) & MASK, row, low, purpose, k0, k1)
            pairs[first + 2 * quad] = a | (b << S32)
            pairs[first + 2 * quad + 1] = e | (g << S32)


@njit(nogil=True, cache=True, error_model="numpy")
def _across(pairs, quads, count, high, row, low, k0, k1, purpose):  # type: ignore[no-untyped-def]
    """Fill pairs as `_along` does, but with the first counter of all rows, then the second of all rows."""
    for quad in range(quads):
        first = 2 * count * quad
        for n in range(count):
            a, b, e, g = philox((np.uint64(quad) | high[n]) & MASK, row[n], low[n], purpose, k0[n], k1[n])
            pairs[first + 2 * n] = a | (b << S32)
            pairs[first + 2 * n + 1] = e | (g << S32)


@njit(nogil=True, cache=True, error_model="numpy")
def _by_rows(y, quads, count, out):  # type: ignore[no-untyped-def]
    """Fill out [count, 4 quads] with what `_across` has put in another order."""
    for quad in range(quads):
        for n in range(count):
            at = 4 * (count * quad + n)
            for k in range(4):
                out[n, 4 * quad + k] = y[at + k]


@njit(nogil=True, cache=True, error_model="numpy")
def normals_of_rows(out, scratch, pairs, at, first, last, columns, keys, ordinals, positions, purpose):  # type: ignore[no-untyped-def]
    """Fill out [last - first, columns] with the normals of rows `first` to `last`, which run over keys, ordinals, positions.

    Those of a row are what `normals_of_row` draws at (its key, purpose, its ordinal, its position); `room` makes out, scratch, pairs, at.
    """
    quads, count = _quads(columns), last - first
    _addressed(at, first, last, keys, ordinals, positions)
    if quads < count:
        _across(pairs, quads, count, at[0], at[1], at[2], at[3], at[4], purpose)
        normals(pairs.view(np.uint32), scratch, 4 * quads * count)
        _by_rows(scratch, quads, count, out)
    else:
        _along(pairs, quads, count, at, purpose)
        normals(pairs.view(np.uint32), out.reshape(-1), 4 * quads * count)
