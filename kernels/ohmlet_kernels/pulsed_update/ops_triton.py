"""`ops` for Triton: the float32 maths of the numba engine, operation by operation, so that both differ from torch by the same rounding."""

from __future__ import annotations

import triton
import triton.language as tl

from ohmlet_kernels.pulsed_update import polynomials as p

__all__ = ["abs", "divide", "exp", "interpolate", "log", "maximum", "minimum", "pow", "sqrt", "tanh", "where"]

ROUND = tl.constexpr(12582912.0)
LOG2_E, LN2_HIGH, LN2_LOW = tl.constexpr(p.LOG2_E), tl.constexpr(p.LN2_HIGH), tl.constexpr(p.LN2_LOW)
LOWEST, HIGHEST = tl.constexpr(p.EXP_LOWEST), tl.constexpr(p.EXP_HIGHEST)
E0, E1, E2, E3, E4 = (tl.constexpr(v) for v in p.EXP)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (tl.constexpr(v) for v in p.LOG)
T0, T1, T2, T3, T4 = (tl.constexpr(v) for v in p.TANH)
NEAR = tl.constexpr(p.TANH_NEAR)
HALF, MANTISSA = tl.constexpr(p.SQRT_HALF_BITS), tl.constexpr(0x7FFFFF)
TINY, SCALE = tl.constexpr(2.0**-126), tl.constexpr(2.0**24)
# The same in float64, for pow.
HALF_64, MANTISSA_64 = tl.constexpr(0x3FE6A09E667F3BCD), tl.constexpr((1 << 52) - 1)
ROUND_64, LN2_64, TWO_LOG2_E = tl.constexpr(6755399441055744.0), tl.constexpr(p.LN2), tl.constexpr(2 * p.LOG2_E)
S3, S5, S7, S9, S11 = (tl.constexpr(1 / n) for n in (3, 5, 7, 9, 11))
P3, P4, P5, P6, P7 = (tl.constexpr(1 / n) for n in (6, 24, 120, 720, 5040))


@triton.jit
def _real(x):  # type: ignore[no-untyped-def]
    """Return float32, also of a plain number."""
    return tl.cast(x, tl.float32)


@triton.jit
def where(condition, a, b):  # type: ignore[no-untyped-def]
    """Return a where the condition holds, else b; both are computed."""
    return tl.where(condition, _real(a), _real(b))


@triton.jit
def minimum(a, b):  # type: ignore[no-untyped-def]
    """Return the smaller of two, NaN if either is."""
    return tl.minimum(_real(a), _real(b), propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def maximum(a, b):  # type: ignore[no-untyped-def]
    """Return the larger of two, NaN if either is."""
    return tl.maximum(_real(a), _real(b), propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def abs(x):  # type: ignore[no-untyped-def] # noqa: A001 - the names of `ops`
    """Return |x|."""
    return tl.abs(_real(x))


@triton.jit
def sqrt(x):  # type: ignore[no-untyped-def]
    """Return the root, NaN below zero."""
    return tl.sqrt_rn(_real(x))


@triton.jit
def divide(a, b):  # type: ignore[no-untyped-def]
    """Return a / b, rounded correctly, which a plain `/` is not on a GPU."""
    return tl.div_rn(_real(a), _real(b))


@triton.jit
def _two_to(n):  # type: ignore[no-untyped-def]
    """Return 2^n for -126 <= n <= 127."""
    return ((n + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def exp(x):  # type: ignore[no-untyped-def]
    """Return e^x."""
    x = _real(x)
    v = tl.where(x < HIGHEST, x, HIGHEST)
    v = tl.where(v > LOWEST, v, LOWEST)
    n = (v * LOG2_E + ROUND) - ROUND
    r = (v - n * LN2_HIGH) - n * LN2_LOW
    y = (((((r * E4 + E3) * r + E2) * r + E1) * r + E0) * r) * r + r + 1.0
    # In two steps, since 2^n itself may be beyond float32 where the product is not.
    whole = n.to(tl.int32)
    half = whole >> 1
    y = y * _two_to(half) * _two_to(whole - half)
    return tl.where(x == x, y, x)


@triton.jit
def log(x):  # type: ignore[no-untyped-def]
    """Return the natural logarithm: -inf at zero, NaN below."""
    x = _real(x)
    small = x < TINY
    bits = tl.where(small, x * SCALE, x).to(tl.int32, bitcast=True) - HALF
    f = ((bits & MANTISSA) + HALF).to(tl.float32, bitcast=True) - 1.0
    e = ((bits >> 23) - tl.where(small, 24, 0)).to(tl.float32)
    y = ((((((((f * L8 + L7) * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0) * f
    y = (y + e * LN2_LOW) + e * LN2_HIGH
    y = tl.where(x == float("inf"), x, y)
    y = tl.where(x == 0.0, float("-inf"), y)
    return tl.where(x >= 0.0, y, float("nan"))


@triton.jit
def tanh(x):  # type: ignore[no-untyped-def]
    """Return the hyperbolic tangent."""
    x = _real(x)
    size, square = tl.abs(x), x * x
    near = x + x * square * ((((square * T4 + T3) * square + T2) * square + T1) * square + T0)
    far = 1.0 - tl.div_rn(_real(2.0), exp(size * 2.0) + 1.0)
    far = tl.where(x < 0.0, -far, far)
    return tl.where(size < NEAR, near, far)


@triton.jit
def pow(a, b):  # type: ignore[no-untyped-def] # noqa: A001
    """Return a^b for a >= 0, NaN below; worked out in float64, since b log a magnifies a rounding."""
    base, power = _real(a).to(tl.float64), _real(b).to(tl.float64)
    bits = base.to(tl.int64, bitcast=True) - HALF_64
    m = ((bits & MANTISSA_64) + HALF_64).to(tl.float64, bitcast=True)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    series = ((((q * S11 + S9) * q + S7) * q + S5) * q + S3) * q + 1.0
    log2 = (bits >> 52).to(tl.float64) + s * TWO_LOG2_E * series
    log2 = tl.where(base < float("inf"), log2, float("inf"))
    log2 = tl.where(base == 0.0, float("-inf"), log2)
    y = power * log2
    v = tl.where(y < 300.0, y, 300.0)
    v = tl.where(v > -300.0, v, -300.0)
    n = (v + ROUND_64) - ROUND_64
    r = (v - n) * LN2_64
    result = (((((((r * P7 + P6) * r + P5) * r + P4) * r + P3) * r + 0.5) * r) * r + r) + 1.0
    result = result * ((n.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    result = tl.where((y == y) & (base >= 0.0), result, float("nan"))
    return tl.where(power == 0.0, 1.0, result).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def interpolate(table, last: tl.constexpr, x):  # type: ignore[no-untyped-def]
    """Return the table at an address, nodes 0 to `last` at equal distances over [0, 1], interpolated at x, held beyond its ends."""
    x = _real(x)
    v = tl.where(x > 0.0, x, 0.0)
    at = tl.where(v < 1.0, v, 1.0) * last
    left = at.to(tl.int32)
    right = tl.where(left < last, left + 1, left)
    low = tl.load(table + left)
    y = low + (at - left.to(tl.float32)) * (tl.load(table + right) - low)
    return tl.where(x == x, y, x)
