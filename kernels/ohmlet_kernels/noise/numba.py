"""The same words, uniforms and normals compiled for the CPU: vectorised over counters, cached between processes."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.threads import over_rows

__all__ = ["fill", "normal", "normals_of_row", "padded", "philox", "uniform"]

# numba promotes mixed unsigned types and then refuses to vectorise, so every constant carries its type.
M0, M1 = np.uint64(c.MULTIPLIER_0), np.uint64(c.MULTIPLIER_1)
K0, K1 = np.uint64(c.KEY_0), np.uint64(c.KEY_1)
MASK, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
ROUNDS = c.ROUNDS
COLUMN_BITS = np.uint64(c.COLUMN_BITS)
HALF = np.int32(c.SQRT_HALF_BITS)
MANTISSA, LEFT = np.int32(0x7FFFFF), np.int32(1 - (1 << 24))
LN2, SQRT2, ULP = np.float32(c.LN2), np.float32(c.SQRT2), np.float32(2.0**-24)
ONE, CENTRE, SHIFT, SPLIT = np.float32(1.0), np.float32(2.5), np.float32(3.0), np.float32(5.0)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (np.float32(v) for v in c.LOG)
A0, A1, A2, A3, A4, A5, A6, A7, A8 = (np.float32(v) for v in c.ERFINV_CENTRE)
B0, B1, B2, B3, B4, B5, B6, B7, B8 = (np.float32(v) for v in c.ERFINV_TAIL)
CHUNK = 512
"""Counters whose words are drawn at once."""
BLOCK = 32
"""Normals computed at once: buffers are padded to a multiple of it."""
TAIL = np.uint32(30000 << 8)
"""Words this close to either end of their range may lie in the tail of the normal distribution."""


@njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Return four words; arguments are uint64 that hold 32-bit words."""
    for _ in range(ROUNDS):
        # Only the factors are masked, which a multiplication of 32-bit lanes does by itself.
        p0 = (c0 & MASK) * M0
        p1 = (c2 & MASK) * M1
        c0 = (p1 >> S32) ^ c1 ^ k0
        c2 = (p0 >> S32) ^ c3 ^ k1
        c1 = p1
        c3 = p0
        k0 = (k0 + K0) & MASK
        k1 = (k1 + K1) & MASK
    return c0 & MASK, c1 & MASK, c2 & MASK, c3 & MASK


@njit(inline="always")
def uniform(word):  # type: ignore[no-untyped-def]
    """Return a float32 uniform in (0, 1)."""
    return np.float32(np.int32(np.int32(word >> np.uint32(9)) * np.int32(2) + np.int32(1))) * ULP


@njit(inline="always")
def _argument(word):  # type: ignore[no-untyped-def]
    """Return x in (-1, 1) and w = -log(1 - x^2); every sum of int32 is made one again, since numba widens it."""
    x = np.float32(np.int32(np.int32(word >> np.uint32(8)) * np.int32(2) + LEFT)) * ULP
    t = (ONE - x) * (ONE + x)
    bits = np.int32(np.float32(t).view(np.int32) - HALF)
    f = np.int32((bits & MANTISSA) + HALF).view(np.float32) - ONE
    p = (((((((L8 * f + L7) * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0
    return x, -(np.float32(np.int32(bits >> np.int32(23))) * LN2 + p * f)


@njit(inline="always")
def _near(w):  # type: ignore[no-untyped-def]
    """Return erfinv(x) / x for w < 5."""
    a = w - CENTRE
    return (((((((A0 * a + A1) * a + A2) * a + A3) * a + A4) * a + A5) * a + A6) * a + A7) * a + A8


@njit(inline="always")
def normal(word):  # type: ignore[no-untyped-def]
    """Return a float32 standard normal; one rounding after each operation, as in the reference."""
    x, w = _argument(word)
    b = np.sqrt(w) - SHIFT
    far = (((((((B0 * b + B1) * b + B2) * b + B3) * b + B4) * b + B5) * b + B6) * b + B7) * b + B8
    return x * SQRT2 * (_near(w) if w < SPLIT else far)


@njit(inline="always")
def padded(count):  # type: ignore[no-untyped-def]
    """Return the size of a buffer for so many normals."""
    return (count + BLOCK - 1) // BLOCK * BLOCK


@njit(nogil=True, cache=True, error_model="numpy")
def _normals(z, y, count):  # type: ignore[no-untyped-def]
    """Fill y with the normals of words z, `count` rounded up to whole blocks: one block in ten needs the tail's polynomial."""
    for start in range(0, count, BLOCK):
        words, out = z[start : start + BLOCK], y[start : start + BLOCK]
        tails = np.int32(0)
        for i in range(BLOCK):
            x, w = _argument(words[i])
            out[i] = x * SQRT2 * _near(w)
            tails = np.int32(tails + np.int32(np.uint32(words[i] + TAIL) < np.uint32(TAIL + TAIL)))
        if tails:
            for i in range(BLOCK):
                out[i] = normal(words[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _uniforms(z, y, count):  # type: ignore[no-untyped-def]
    for i in range(count):
        y[i] = uniform(z[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _line(pairs, quads, column, high, row, low, purpose, k0, k1):  # type: ignore[no-untyped-def]
    """Fill pairs, two words in each, with the words of `quads` counters of one row from `column` on."""
    for i in range(quads):
        a, b, e, g = philox((np.uint64(column + i) | high) & MASK, row, low, purpose, k0, k1)
        pairs[2 * i] = a | (b << S32)
        pairs[2 * i + 1] = e | (g << S32)


@njit(nogil=True, cache=True, error_model="numpy")
def normals_of_row(out, pairs, columns, row, ordinal, key, purpose):  # type: ignore[no-untyped-def]
    """Fill out [padded(columns)] with the normals at (key, purpose, ordinal, row); pairs [padded(columns) / 2] is scratch."""
    quads = (columns + 3) // 4
    low, high = ordinal & MASK, (ordinal >> S32) << COLUMN_BITS
    _line(pairs, quads, 0, high, np.uint64(row) & MASK, low, purpose, key & MASK, key >> S32)
    _normals(pairs.view(np.uint32), out, 4 * quads)


@njit(nogil=True, cache=True, error_model="numpy")
def _places(rows, columns, count, start, quads):  # type: ignore[no-untyped-def]
    """Fill the row and the column // 4 of each counter: stepped, since a division for each would cost more than its random words."""
    row = start // quads
    column = start - row * quads
    for i in range(count):
        rows[i] = np.uint64(row)
        columns[i] = np.uint64(column)
        column += 1
        if column == quads:
            column = 0
            row += 1


@njit(nogil=True, cache=True, error_model="numpy")
def _scattered(pairs, rows, columns, count, high, low, purpose, k0, k1):  # type: ignore[no-untyped-def]
    """Fill pairs with the words of counters at any rows and columns."""
    for i in range(count):
        a, b, e, g = philox((columns[i] | high) & MASK, rows[i] & MASK, low, purpose, k0, k1)
        pairs[2 * i] = a | (b << S32)
        pairs[2 * i + 1] = e | (g << S32)


@njit(nogil=True, cache=True, error_model="numpy")
def _store(out, y, rows, columns, count, width):  # type: ignore[no-untyped-def]
    for i in range(count):
        first = np.int64(columns[i]) * 4
        base = np.int64(rows[i]) * width + first
        for lane in range(min(4, width - first)):
            out[base + lane] = y[4 * i + lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _task(task, out, keys, purpose, ordinals, rows, columns, gaussian, pairs, y, at_row, at_column):  # type: ignore[no-untyped-def]
    quads = (columns + 3) // 4
    counters = rows * quads
    chunks = (counters + CHUNK - 1) // CHUNK
    samples = len(ordinals)
    sample = (task // chunks) % samples
    lane = task // (chunks * samples)
    start = (task % chunks) * CHUNK
    count = min(CHUNK, counters - start)
    key, ordinal = np.uint64(keys[lane]), np.uint64(ordinals[sample])
    low, high = ordinal & MASK, (ordinal >> S32) << COLUMN_BITS
    if chunks > 1 or at_row[0] == np.uint64(MASK):
        _places(at_row, at_column, count, start, quads)
    _scattered(pairs, at_row, at_column, count, high, low, np.uint64(purpose), key & MASK, key >> S32)
    if gaussian:
        _normals(pairs.view(np.uint32), y, 4 * count)
    else:
        _uniforms(pairs.view(np.uint32), y, 4 * count)
    if columns % 4 == 0:
        out[lane, sample, 4 * start : 4 * (start + count)] = y[: 4 * count]
    else:
        _store(out[lane, sample], y, at_row, at_column, count, columns)


@njit(nogil=True, cache=True, error_model="numpy")
def _tasks(first, last, out, keys, purpose, ordinals, rows, columns, gaussian):  # type: ignore[no-untyped-def]
    pairs = np.zeros(2 * CHUNK, np.uint64)
    y = np.empty(4 * CHUNK, np.float32)
    at_row = np.full(CHUNK, MASK)  # not filled yet; with one chunk a sample the places are the same for all
    at_column = np.empty(CHUNK, np.uint64)
    for task in range(first, last):
        _task(task, out, keys, purpose, ordinals, rows, columns, gaussian, pairs, y, at_row, at_column)


def fill(out, keys, purpose, ordinals, rows, columns, gaussian):  # type: ignore[no-untyped-def]
    """Fill `out` float32 [K, S, rows * columns] with the numbers at the addresses that `reference.words` states."""
    chunks = -(-rows * ((columns + 3) // 4) // CHUNK)

    def run(first: int, last: int) -> None:
        _tasks(first, last, out, keys, purpose, ordinals, rows, columns, gaussian)

    over_rows(len(keys) * len(ordinals) * chunks, out.size, run)
