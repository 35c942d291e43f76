"""The same words, uniforms and normals compiled for the CPU: vectorised over counters, cached between processes."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.threads import over_rows

__all__ = ["fill"]

# numba promotes mixed unsigned types and then refuses to vectorise, so every constant carries its type.
M0, M1 = np.uint64(c.MULTIPLIER_0), np.uint64(c.MULTIPLIER_1)
K0, K1 = np.uint64(c.KEY_0), np.uint64(c.KEY_1)
MASK, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
ROUNDS = c.ROUNDS
HALF = np.int32(c.SQRT_HALF_BITS)
MANTISSA = np.int32(0x7FFFFF)
LN2, SQRT2, ULP = np.float32(c.LN2), np.float32(c.SQRT2), np.float32(2.0**-24)
ONE, CENTRE, SHIFT, SPLIT = np.float32(1.0), np.float32(2.5), np.float32(3.0), np.float32(5.0)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (np.float32(v) for v in c.LOG)
A0, A1, A2, A3, A4, A5, A6, A7, A8 = (np.float32(v) for v in c.ERFINV_CENTRE)
B0, B1, B2, B3, B4, B5, B6, B7, B8 = (np.float32(v) for v in c.ERFINV_TAIL)
CHUNK = 512


@njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Return four words; arguments are uint64 that hold 32-bit words."""
    for _ in range(ROUNDS):
        p0 = c0 * M0
        p1 = c2 * M1
        c0 = (p1 >> S32) ^ c1 ^ k0
        c2 = (p0 >> S32) ^ c3 ^ k1
        c1 = p1 & MASK
        c3 = p0 & MASK
        k0 = (k0 + K0) & MASK
        k1 = (k1 + K1) & MASK
    return c0, c1, c2, c3


@njit(inline="always")
def uniform(word):  # type: ignore[no-untyped-def]
    """Return a float32 uniform in (0, 1)."""
    return np.float32(np.int32(word >> np.uint32(9)) * np.int32(2) + np.int32(1)) * ULP


@njit(inline="always")
def normal(word):  # type: ignore[no-untyped-def]
    """Return a float32 standard normal; one rounding after each operation, as in the reference."""
    x = np.float32(np.int32(word >> np.uint32(8)) * np.int32(2) + np.int32(1 - (1 << 24))) * ULP
    t = (ONE - x) * (ONE + x)
    bits = np.float32(t).view(np.int32) - HALF
    f = np.int32((bits & MANTISSA) + HALF).view(np.float32) - ONE
    p = (((((((L8 * f + L7) * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0
    w = -(np.float32(bits >> np.int32(23)) * LN2 + p * f)
    a = w - CENTRE
    near = (((((((A0 * a + A1) * a + A2) * a + A3) * a + A4) * a + A5) * a + A6) * a + A7) * a + A8
    b = np.sqrt(w) - SHIFT
    far = (((((((B0 * b + B1) * b + B2) * b + B3) * b + B4) * b + B5) * b + B6) * b + B7) * b + B8
    return x * SQRT2 * (near if w < SPLIT else far)


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
def _draw(z, rows, columns, count, high, low, purpose, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(count):
        a, b, e, g = philox((columns[i] | high) & MASK, rows[i] & MASK, low, purpose, k0, k1)
        z[0, i] = np.uint32(a)
        z[1, i] = np.uint32(b)
        z[2, i] = np.uint32(e)
        z[3, i] = np.uint32(g)


@njit(nogil=True, cache=True, error_model="numpy")
def _normals(z, y, count):  # type: ignore[no-untyped-def]
    for lane in range(4):
        for i in range(count):
            y[lane, i] = normal(z[lane, i])


@njit(nogil=True, cache=True, error_model="numpy")
def _uniforms(z, y, count):  # type: ignore[no-untyped-def]
    for lane in range(4):
        for i in range(count):
            y[lane, i] = uniform(z[lane, i])


@njit(nogil=True, cache=True, error_model="numpy")
def _store(out, y, rows, columns, count, width):  # type: ignore[no-untyped-def]
    for i in range(count):
        first = np.int64(columns[i]) * 4
        base = np.int64(rows[i]) * width + first
        if first + 4 <= width:
            out[base] = y[0, i]
            out[base + 1] = y[1, i]
            out[base + 2] = y[2, i]
            out[base + 3] = y[3, i]
        else:
            for lane in range(width - first):
                out[base + lane] = y[lane, i]


@njit(nogil=True, cache=True, error_model="numpy")
def _task(task, out, keys, purpose, ordinals, rows, columns, gaussian, z, y, at_row, at_column):  # type: ignore[no-untyped-def]
    quads = (columns + 3) // 4
    counters = rows * quads
    chunks = (counters + CHUNK - 1) // CHUNK
    samples = len(ordinals)
    sample = (task // chunks) % samples
    lane = task // (chunks * samples)
    start = (task % chunks) * CHUNK
    count = min(CHUNK, counters - start)
    key, ordinal = np.uint64(keys[lane]), np.uint64(ordinals[sample])
    high = (ordinal >> S32) << np.uint64(20)
    if chunks > 1 or at_row[0] == np.uint64(MASK):
        _places(at_row, at_column, count, start, quads)
    _draw(z, at_row, at_column, count, high, ordinal & MASK, np.uint64(purpose), key & MASK, key >> S32)
    if gaussian:
        _normals(z, y, count)
    else:
        _uniforms(z, y, count)
    _store(out[lane, sample], y, at_row, at_column, count, columns)


@njit(nogil=True, cache=True, error_model="numpy")
def _tasks(first, last, out, keys, purpose, ordinals, rows, columns, gaussian):  # type: ignore[no-untyped-def]
    z = np.empty((4, CHUNK), np.uint32)
    y = np.empty((4, CHUNK), np.float32)
    at_row = np.full(CHUNK, MASK)  # not filled yet; with one chunk a sample the places are the same for all
    at_column = np.empty(CHUNK, np.uint64)
    for task in range(first, last):
        _task(task, out, keys, purpose, ordinals, rows, columns, gaussian, z, y, at_row, at_column)


def fill(out, keys, purpose, ordinals, rows, columns, gaussian):  # type: ignore[no-untyped-def]
    """Fill `out` float32 [K, S, rows * columns] with the numbers at the addresses that `reference.words` states."""
    chunks = -(-rows * ((columns + 3) // 4) // CHUNK)

    def run(first: int, last: int) -> None:
        _tasks(first, last, out, keys, purpose, ordinals, rows, columns, gaussian)

    over_rows(len(keys) * len(ordinals) * chunks, out.size, run)
