"""The same words, uniforms and normals for Triton kernels: functions of blocks of counters, bit for bit those of the reference.

Kernels that call `normals` must be compiled with `enable_fp_fusion=False`: one rounding after each operation, as in the reference.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ohmlet_kernels.noise import constants as c

__all__ = ["address", "normals", "philox", "uniforms"]

M0, M1 = tl.constexpr(c.MULTIPLIER_0), tl.constexpr(c.MULTIPLIER_1)
K0, K1 = tl.constexpr(c.KEY_0), tl.constexpr(c.KEY_1)
ROUNDS, COLUMN_BITS = tl.constexpr(c.ROUNDS), tl.constexpr(c.COLUMN_BITS)
HALF, MANTISSA = tl.constexpr(c.SQRT_HALF_BITS), tl.constexpr(0x7FFFFF)
LEFT, ULP = tl.constexpr(1 - (1 << 24)), tl.constexpr(2.0**-24)
LN2, SQRT2 = tl.constexpr(c.LN2), tl.constexpr(c.SQRT2)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (tl.constexpr(v) for v in c.LOG)
A0, A1, A2, A3, A4, A5, A6, A7, A8 = (tl.constexpr(v) for v in c.ERFINV_CENTRE)
B0, B1, B2, B3, B4, B5, B6, B7, B8 = (tl.constexpr(v) for v in c.ERFINV_TAIL)


@triton.jit
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Return four words for each counter; arguments are uint32, blocks of one shape or single numbers."""
    for _ in tl.static_range(ROUNDS):
        # A product of 64 bits is one instruction for both of its halves.
        p0 = c0.to(tl.uint64) * M0
        p1 = c2.to(tl.uint64) * M1
        c0 = (p1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c2 = (p0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c1 = p1.to(tl.uint32)
        c3 = p0.to(tl.uint32)
        k0 = (k0.to(tl.uint64) + K0).to(tl.uint32)
        k1 = (k1.to(tl.uint64) + K1).to(tl.uint32)
    return c0, c1, c2, c3


@triton.jit
def address(column, row, ordinal, purpose):  # type: ignore[no-untyped-def]
    """Return the counter of (column, row, ordinal, purpose), all of one shape; `ordinal` int64, `column` below 2^20."""
    high = ((ordinal >> 32) << COLUMN_BITS).to(tl.uint32)
    zero = (column * 0 + row * 0).to(tl.uint32)
    return (column.to(tl.uint32) | high) + zero, row.to(tl.uint32) + zero, ordinal.to(tl.uint32) + zero, purpose.to(tl.uint32) + zero


@triton.jit
def uniforms(word):  # type: ignore[no-untyped-def]
    """Return float32 uniforms in (0, 1) of uint32 words."""
    return ((word >> 9) * 2 + 1).to(tl.int32).to(tl.float32) * ULP


@triton.jit
def normals(word):  # type: ignore[no-untyped-def]
    """Return float32 standard normals of uint32 words."""
    x = ((word >> 8).to(tl.int32) * 2 + LEFT).to(tl.float32) * ULP
    t = (1.0 - x) * (1.0 + x)
    bits = t.to(tl.int32, bitcast=True) - HALF
    f = ((bits & MANTISSA) + HALF).to(tl.float32, bitcast=True) - 1.0
    p = (((((((f * L8 + L7) * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0
    w = -((bits >> 23).to(tl.float32) * LN2 + p * f)
    a, b = w - 2.5, tl.sqrt_rn(w) - 3.0
    near = (((((((A0 * a + A1) * a + A2) * a + A3) * a + A4) * a + A5) * a + A6) * a + A7) * a + A8
    far = (((((((B0 * b + B1) * b + B2) * b + B3) * b + B4) * b + B5) * b + B6) * b + B7) * b + B8
    return x * SQRT2 * tl.where(w < 5.0, near, far)
